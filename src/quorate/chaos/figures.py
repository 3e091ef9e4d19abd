"""The figures of a run, from its history: the longest gap without a write, how long failovers took, faults by kind.

Both times are the probe's, which sends a vote each 100 ms whatever became of those before. A gap is the time between
two of its acknowledged votes, from answer to answer. A failover is measured from the moment when a fault hit the leader
to the first answer to a vote that was sent after that moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from quorate.chaos.history import Cast, Fault, NodeLook, Record, decode_record
from quorate.chaos.workload.probe import NAME

PROBE = b'"client":"%b"' % NAME.encode()
CAST = b'{"record":"cast","number":'  # so begins what `HistoryFile` writes. Lines of others are decoded whole
NEEDLESS = tuple(b'{"record":"%b"' % name for name in (b"read", b"sink", b"digest", b"poll-change", b"open-session"))
HEAD_BYTES = 200  # of a line, in which its client stands
LEADERLESS = ("kill-", "stop-", "pause-", "partition-")  # beginnings of the names of faults that end a leadership


class RunFigures(msgspec.Struct):
    probe_votes: int = 0  # that were acknowledged
    longest_gap_s: float = 0.0
    longest_gap_at: float = 0.0  # when it began
    failovers_s: list[float] = []
    failover_p50_s: float | None = None
    failover_p99_s: float | None = None
    faults: dict[str, int] = {}
    leaders: int = 0  # leaderships that were seen


def figures_of(path: Path) -> RunFigures:
    """One pass over the file. Raises `OSError`."""
    probes: list[tuple[float, float]] = []  # (sent, answered)
    hit: list[float] = []  # when a fault hit the leader
    faults: Counter[str] = Counter()
    leader, terms = "", set()
    for record in _records(path):
        match record:
            case Cast(outcome="ok", applied=1, ended=float() as ended, settles=False) if record.client == NAME:
                probes.append((record.begun, ended))
            case NodeLook(role="leader"):
                leader = record.node
                terms.add((record.term, record.node))
            case Fault(phase="begin"):
                faults[record.name] += 1
                if leader in record.victims and record.name.startswith(LEADERLESS):
                    hit.append(record.at)
    gap_s, gap_at = _longest_gap(sorted(ended for _, ended in probes))
    failovers = _failovers(sorted(probes), hit)
    return RunFigures(
        len(probes),
        gap_s,
        gap_at,
        failovers,
        _percentile(failovers, 0.5),
        _percentile(failovers, 0.99),
        dict(sorted(faults.items())),
        len(terms),
    )


def _records(path: Path) -> Iterator[Record]:
    """Those that the figures are made of. A torn last line is none."""
    with path.open("rb") as file:
        for line in file:
            if _may_be_needed(line) and line.endswith(b"\n"):
                yield decode_record(line)


def _may_be_needed(line: bytes) -> bool:
    return PROBE in line[:HEAD_BYTES] if line.startswith(CAST) else not line.startswith(NEEDLESS)


def _longest_gap(answers: Sequence[float]) -> tuple[float, float]:
    gaps = ((later - earlier, earlier) for earlier, later in pairwise(answers))
    return max(gaps, default=(0.0, 0.0))


def _failovers(probes: Sequence[tuple[float, float]], hit: Sequence[float]) -> list[float]:
    """For each moment the time to the first answer among the votes that were sent later."""
    earliest: list[float] = []  # the first answer to this vote or a later one
    for _, answered in reversed(probes):
        earliest.append(min(answered, earliest[-1]) if earliest else answered)
    earliest.reverse()
    places = ((at, bisect_left(probes, (at, 0.0))) for at in hit)
    return [round(earliest[place] - at, 3) for at, place in places if place < len(probes)]


def _percentile(values: Sequence[float], share: float) -> float | None:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
