"""What a history shows of lost, doubled and stale, without versions: the same count for each system.

For each counter, that is for each option of each poll:

- lost: so many more votes were acknowledged than are counted in the end;
- doubled: so many more are counted in the end than were acknowledged or may have counted without an answer;
- stale: a read shows less than somebody had been told before it began, of what is counted in the end. Told is who was
  acknowledged, or who read it. So a read that only misses lost votes is not called stale.

All are the least that can have happened: one lost and one doubled in the same counter hide each other.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from quorate.chaos.figures import figures_of
from quorate.chaos.history import Cast, Fault, Header, Read, Record, read_history
from quorate.chaos.verdict import judge

Key = tuple[str, str]  # poll, option


@dataclass(slots=True)
class Counted:
    operations: int = 0
    acknowledged: int = 0  # votes
    unknown: int = 0  # votes of which no answer ever told whether they counted
    lost: int = 0
    doubled: int = 0
    reads: int = 0
    stale: int = 0
    faults: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.latencies_ms) if self.latencies_ms else 0.0


@dataclass(slots=True)
class Outcome:
    """Of one run. `found`: violations by property, as `quorate check` finds them."""

    counted: Counted
    longest_gap_s: float
    verdict: str
    found: dict[str, int]


def outcome_of(path: Path, scratch: Path) -> Outcome:
    counted = count(read_history(path))
    verdict, figures = judge(path, scratch=scratch), figures_of(path)
    return Outcome(counted, figures.longest_gap_s, verdict.verdict, {name: n for name, n in verdict.found.items() if n})


def count(records: Iterable[Record]) -> Counted:
    counted = Counted()
    first_acks: dict[str, tuple[float, Key]] = {}  # by request: when it was first acknowledged
    perhaps: dict[str, Key] = {}  # requests that may have counted
    final: dict[Key, int] = {}
    reads: list[Read] = []
    for record in records:
        match record:
            case Header():
                counted.seconds = record.duration_s
            case Fault(phase="begin"):
                counted.faults += 1
            case Cast():
                counted.operations += 1
                _take(record, first_acks, perhaps, counted)
            case Read(outcome="ok", settles=True):
                counted.operations += 1
                final |= {(record.poll, option): total for option, total in record.results.items()}
            case Read():
                counted.operations += 1
                reads += [record] if record.outcome == "ok" else []
    acked = Counter(key for _, key in first_acks.values())
    still_open = Counter(key for request, key in perhaps.items() if request not in first_acks)
    counted.acknowledged, counted.unknown = acked.total(), still_open.total()
    counted.reads = len(reads)
    for key in {*acked, *still_open, *final}:
        total = final.get(key, 0)
        counted.lost += max(0, acked[key] - total)
        counted.doubled += max(0, total - acked[key] - still_open[key])
    counted.stale = _stale(reads, list(first_acks.values()), final)
    return counted


def _take(cast: Cast, first_acks: dict[str, tuple[float, Key]], perhaps: dict[str, Key], counted: Counted) -> None:
    (vote,) = cast.votes
    key = (str(vote.poll), vote.option)
    if cast.outcome == "ok" and cast.ended is not None:
        known = first_acks.get(cast.request)
        if known is None or cast.ended < known[0]:
            first_acks[cast.request] = cast.ended, key
        if not cast.settles:
            counted.latencies_ms.append((cast.ended - cast.begun) * 1000)
    elif cast.outcome == "unknown":
        perhaps[cast.request] = key


def _stale(reads: list[Read], acks: list[tuple[float, Key]], final: dict[Key, int]) -> int:
    """How many reads show less than was known when they began."""
    ended = [(read.ended, read) for read in reads if read.ended is not None]
    events: list[tuple[float, int, Key | Read]] = [(at, 0, key) for at, key in acks]
    events += [(at, 1, read) for at, read in ended]
    events += [(read.begun, 2, read) for _, read in ended]
    acked: Counter[Key] = Counter()
    shown: defaultdict[Key, int] = defaultdict(int)  # the most that a read showed, of what counts in the end
    stale = 0
    for _, kind, what in sorted(events, key=lambda event: event[:2]):
        if kind == 0 and isinstance(what, tuple):
            acked[what] += 1
        elif isinstance(what, Read) and kind == 1:
            for option, total in what.results.items():
                key = (what.poll, option)
                shown[key] = max(shown[key], min(total, final.get(key, 0)))
        elif isinstance(what, Read):
            keys = [key for key in {*acked, *shown} if key[0] == what.poll]
            least = {key: max(shown[key], min(acked[key], final.get(key, 0))) for key in keys}
            stale += any(what.results.get(option, 0) < total for (_, option), total in least.items())
    return stale
