"""Reads a history into the temporary database, once, and judges what a single line shows."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from quorate.chaos.checkers.cut_off import as_known_at, whole_until
from quorate.chaos.checkers.evidence import Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.memory import check_memory
from quorate.chaos.history import (
    REDIS,
    Cast,
    End,
    Fault,
    Header,
    HistoryOperation,
    NodeDigest,
    NodeLook,
    OpenSession,
    PollChange,
    PollPlan,
    Reached,
    Read,
    Record,
    SentVote,
    SinkLook,
    end_of,
    is_published,
    read_lines,
)
from quorate.errors import Invalid
from quorate.words import count

OUTCOMES = {"ok": 0, "fail": 1, "unknown": 2}
OK, FAIL, UNKNOWN = 0, 1, 2
WAYS = {"ids": 0, "key": 1, "session": 2}
IDS, KEY, SESSION = 0, 1, 2
NO_QUEUE, PUBLISHED, FOLLOWS_QUEUE = 0, 1, 2  # what an attempt has to do with a queue
READ, SINK = 0, 1  # the source of a reading. Its mark is a sink's fence, or that of the final reads:
SETTLES = "settles"
# Reasons of a vote that did not count which only the log can give. The version of such an answer is that of the entry
# which decided it. What a node refuses by itself, as a text that is no option, has a version that it happened to be at.
DECIDED = frozenset(("closed", "unknown_option", "unknown_poll", "conflict", "expired_id"))

_encode = msgspec.json.Encoder().encode


class Loader:
    def __init__(self, evidence: Evidence, findings: Findings) -> None:
        self._evidence = evidence
        self._findings = findings
        self._weights: dict[int, int] = {}  # of votes, by pick
        self._take: dict[type, Callable[[int, Any], None]] = {
            Header: self._header,
            PollPlan: self._plan,
            Cast: self._cast,
            Read: self._read,
            PollChange: self._change,
            OpenSession: self._opening,
            NodeDigest: self._digest,
            NodeLook: self._node,
            SinkLook: self._sink,
            Fault: self._fault,
            Reached: self._reached,
            End: self._end,
        }

    def load(self, path: Path) -> None:
        """Raises `Invalid` if the file is no history."""
        take = self._take
        for place, record in self._records(path):
            take[type(record)](place, record)
        if self._evidence.header is None:
            raise Invalid(f"{path} is no history: it has no whole line")
        self._weigh()
        self._evidence.flush(index=("reading", "seen"))

    def _records(self, path: Path) -> Iterator[tuple[int, Record]]:
        if end_of(path) is not None:
            yield from read_lines(path)
            return
        moment = whole_until(path)
        for place, record in read_lines(path):
            if isinstance(record, HistoryOperation):
                self._evidence.last_s = max(self._evidence.last_s, record.ended or record.begun)
            yield from ((place, known) for known in as_known_at(record, moment))

    def _weigh(self) -> None:
        """Each option has one weight, in its poll and in all votes for it."""
        evidence = self._evidence
        planned: dict[tuple[str | None, str], set[int]] = {}
        for poll, plan in evidence.polls.items():
            for option, weight in plan.options.items():
                planned.setdefault((poll, option), set()).add(weight)
                planned.setdefault((None, option), set()).add(weight)
        for pick, weight in self._weights.items():
            choice = evidence.choices[pick]
            if weight not in planned.get(choice, {weight}):
                raise Invalid(f"no history: a vote for {choice[1]!r} weighs {weight}, which no poll says of it")
            evidence.weights[choice] = weight

    # ---- operations -------------------------------------------------------------------------------------------------

    def _operation(self, operation: HistoryOperation) -> None:
        evidence = self._evidence
        evidence.operations += 1
        evidence.unknown += operation.outcome == "unknown" and not is_published(operation)
        evidence.clients.add(operation.client)
        evidence.last_s = max(evidence.last_s, operation.ended or operation.begun)

    def _cast(self, place: int, cast: Cast) -> None:
        self._operation(cast)
        if cast.counted and (cast.applied or cast.duplicates):
            raise Invalid(f"no history: request {cast.request} has `counted` beside `applied` or `duplicates`")
        self._check_places(place, cast)
        if cast.outcome == "ok" and cast.version is not None:
            self._check_sum(place, cast)
        if cast.outcome != "fail":
            self._evidence.ids_sent += len(cast.votes) if cast.way == "ids" else 1
        self._ids(place, cast)
        reasons = {reason for _, reason in cast.rejected}
        if "conflict" in reasons:
            words = f"request {cast.request} was answered that an id of it was used for another choice; it never was"
            self._findings.violate("counted_once", words, [place])
        if "expired_id" in reasons and cast.way != "session":
            words = (
                f"request {cast.request} was refused as too old to be compared, which only what is in a session can be"
            )
            self._findings.violate("resends", words, [place])
        answered = cast.applied or cast.duplicates or cast.counted or reasons & DECIDED
        decided = cast.version is not None and bool(answered)
        codes = self._codes(cast.votes, cast.way)
        self._evidence.add(
            "casting",
            place,
            cast.request if cast.way != "session" else _same_batch(cast, codes),
            cast.begun,
            cast.ended,
            OUTCOMES[cast.outcome],
            cast.version,
            decided and cast.outcome == "ok",
            cast.applied,
            cast.duplicates,
            cast.counted,
            _encode(cast.rejected).decode() if cast.rejected else "",
            codes,
            WAYS[cast.way],
            cast.producer,
            cast.epoch,
            cast.sequence,
            cast.served_by or cast.node,
            *_ids(cast),
            PUBLISHED if is_published(cast) else FOLLOWS_QUEUE if cast.follows_queue else NO_QUEUE,
        )

    def _check_places(self, place: int, cast: Cast) -> None:
        """What it says of votes that are not in the request is taken away, so that nobody looks for them."""
        strange = [each for each, _ in cast.rejected if not 0 <= each < len(cast.votes)]
        if strange:
            words = f"the answer refuses vote {strange[0]} of request {cast.request}, which has {len(cast.votes)}"
            self._findings.violate("counted_once", words, [place])
            cast.rejected = [pair for pair in cast.rejected if pair[0] not in strange]

    def _check_sum(self, place: int, cast: Cast) -> None:
        told = cast.applied + cast.duplicates + cast.counted + len(cast.rejected)
        if told != len(cast.votes):
            words = f"the answer tells of {told} of the votes in request {cast.request}, which has {len(cast.votes)}"
            self._findings.violate("counted_once", words, [place])

    def _ids(self, place: int, cast: Cast) -> None:
        """Each id stands for one vote. That no other request has it is judged in `shared_ids.py`."""
        if cast.way != "ids" or cast.outcome == "fail":
            return
        ids = [vote.id for vote in cast.votes if vote.id is not None]
        request = hash(cast.request)
        for id in ids:
            self._evidence.add("named", hash(id), request, place)
        different = len(set(ids))
        if different == len(ids):
            return
        if cast.applied <= different + len(cast.votes) - len(ids):
            raise Invalid(f"no history: two votes of request {cast.request} have one id")
        words = f"{count(cast.applied, 'vote')} of request {cast.request} counted, as its answer says, and it has "
        self._findings.violate("counted_once", words + count(different, "id"), [place])

    def _codes(self, votes: list[SentVote], way: str) -> bytes:
        """Two things a vote: its pick, and whether it has no id, so that sent again it is another vote."""
        pick_of, codes = self._evidence.pick_of, []
        for vote in votes:
            pick = pick_of(vote.poll, vote.option)
            if self._weights.setdefault(pick, vote.weight) != vote.weight:
                raise Invalid(f"no history: votes for {vote.option!r} have different weights")
            codes.append(2 * pick + (vote.id is None and way == "ids"))
        return struct.pack(f"<{len(codes)}I", *codes)

    def _read(self, place: int, read: Read) -> None:
        self._operation(read)
        if read.outcome == "ok" and read.version is None and read.door == REDIS:
            is_strict = read.level == "linearizable"
            self._evidence.add("bare", place, read.poll, read.begun, read.ended, is_strict)
            self._results(place, read.poll, None, read.results)
        if read.outcome != "ok" or read.version is None:
            return
        self._findings.count("reads", read.level)
        if read.settles:
            self._findings.count("counted_once", "final reads")
            self._evidence.read_last.add(read.poll)
        if read.min_version is not None:
            self._findings.count("real_time", "reads with min_version")
            if read.version < read.min_version:
                words = f"a read that wanted version {read.min_version} was answered at version {read.version}"
                self._findings.violate("real_time", words, [place])
        if read.total != sum(read.results.values()):
            words = f"a read of {read.poll} says {read.total} in total; its results make {sum(read.results.values())}"
            self._findings.violate("reads", words, [place])
        self._evidence.add(
            "reading",
            place,
            read.poll,
            read.version,
            read.begun,
            read.ended,
            READ,
            read.level == "linearizable",
            read.state,
            read.served_by or read.node,
            SETTLES if read.settles else "",
        )
        self._results(place, read.poll, read.version, read.results)

    def _results(self, place: int, poll: str, version: int | None, results: dict[str, int]) -> None:
        plan = self._evidence.polls.get(poll)
        for option, total in results.items():
            if plan is not None and not plan.write_ins and option not in plan.options:
                words = f"the results of {poll} have the option {option!r}, which the poll does not have"
                self._findings.violate("counted_once", words, [place])
            self._evidence.add("seen", self._evidence.pick_of(poll, option), version, place, total)

    def _change(self, place: int, change: PollChange) -> None:
        self._operation(change)
        row = (place, change.poll, change.begun, change.ended, OUTCOMES[change.outcome], change.version, change.to)
        is_change = change.outcome != "ok" or change.before not in (change.to, "there")
        self._evidence.add("changing", *row, change.creates, change.closes_at_ms, is_change)

    def _opening(self, place: int, opening: OpenSession) -> None:
        self._operation(opening)
        row = (place, opening.producer, opening.begun, opening.ended, OUTCOMES[opening.outcome], opening.version)
        self._evidence.add("opening", *row, opening.epoch, opening.sequence)

    def _digest(self, place: int, digest: NodeDigest) -> None:
        self._operation(digest)
        if digest.outcome == "ok" and digest.version is not None:
            row = (place, digest.begun, digest.ended, digest.version, digest.served_by or digest.node)
            self._evidence.add("digest", *row, digest.digest, digest.chain)

    # ---- what the run saw, planned and noticed ----------------------------------------------------------------------

    def _header(self, place: int, header: Header) -> None:
        self._evidence.header = header

    def _plan(self, place: int, plan: PollPlan) -> None:
        self._evidence.polls[plan.id] = plan
        for option in plan.options:
            self._evidence.pick_of(plan.id, option)

    def _node(self, place: int, look: NodeLook) -> None:
        check_memory(look, place, self._evidence.table, self._findings)
        if look.role == "leader":
            self._evidence.note_leader(look.at, look.term)

    def _sink(self, place: int, look: SinkLook) -> None:
        self._findings.count("sinks", "looks")
        row = (place, look.poll, look.version, look.at, look.until or None, SINK, 0, "", look.sink, look.fence)
        self._evidence.add("reading", *row)
        self._results(place, look.poll, look.version, look.results)

    def _fault(self, place: int, fault: Fault) -> None:
        self._evidence.faults += fault.phase == "begin"
        for victim in fault.victims:
            self._evidence.hit.setdefault(victim, []).append(fault.at)

    def _reached(self, place: int, reached: Reached) -> None:
        self._findings.reach(reached.name, place)

    def _end(self, place: int, end: End) -> None:
        self._evidence.end = end


def _same_batch(cast: Cast, codes: bytes) -> str:
    """Batches of a session are one request if they have one sequence and the same votes, whatever their epochs are.

    The order of the votes makes no difference to the cluster.
    """
    votes = b"".join(sorted(codes[at : at + 4] for at in range(0, len(codes), 4)))
    return f"{cast.producer};sequence={cast.sequence};{hashlib.blake2b(votes, digest_size=8).hexdigest()}"


def _ids(cast: Cast) -> tuple[int, int]:
    """How many ids the request can have added to the dedup table, at the most and at the least."""
    if cast.way == "session" or cast.outcome == "fail":
        return 0, 0
    ids = sum(vote.id is not None for vote in cast.votes) if cast.way == "ids" else 1
    if cast.outcome == "unknown":
        return ids, 0
    plain = len(cast.votes) - ids if cast.way == "ids" else 0
    return min(ids, cast.applied + cast.counted), max(0, min(ids, cast.applied - plain))
