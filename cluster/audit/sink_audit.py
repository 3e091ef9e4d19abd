"""`quorate audit`, on the leader: every sink's documents against the cluster's tallies, some polls at a time.

Counting and flushing go on meanwhile. Each poll is copied, its documents are read, and most agree at once. Where one
does not, the poll may have changed since it was written. So the flush is waited for, the document is read again, and
the poll is copied again: what stands there must lie between the two copies (`comparison.py`). Only the leader can say
this, because only its flush knows what a sink should hold. What cannot be told is said, and why.

A repair has the flush write again what differs, under a newer fence, and then looks again. Documents that people
deleted come back with a new generation. What people put into the place of a document is never written over: it may hold
numbers that nobody has counted. Nodes are never repaired.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from quorate.cluster import entry
from quorate.cluster.audit.answers import AuditedPage, AuditedSink, Difference, Undecided
from quorate.cluster.audit.comparison import Moved, PollCopy, compare, is_altered
from quorate.cluster.flush.flusher import Flusher
from quorate.cluster.flush.flushers import Flushers
from quorate.cluster.fsm import Applied
from quorate.cluster.read import chunks
from quorate.cluster.replica import Replica
from quorate.errors import Invalid, NoLeader, NotReady
from quorate.sinks.auditable import AuditableSink, FoundDocument
from quorate.sinks.sink import SinkError
from quorate.turns import Turns

POLLS_MAX, OPTIONS_MAX = 200, 20_000  # looked at in one request
PAGE_S = 20.0
LOOK_S = 5.0  # for one answer of a sink
ROUNDS = 4
UNTOLD_S = 60.0  # what the flush wrote over so long ago is told
AHEAD_MAX = 200  # entries that are added so that all nodes meet at a version

_SURE = frozenset(("result", "total", "edited", "unreadable"))  # seen once is enough: these do not pass by themselves
_LEFT = frozenset(("by_hand", "foreign", "unknown_poll"))  # nothing of ours: not repaired

Bring = Callable[[], Awaitable[object]]  # begins a new generation, in which all documents are written


@dataclass(slots=True)
class _Look:
    """What one sink is asked about, and what is known so far."""

    flusher: Flusher
    sink: AuditableSink
    first: bool  # of all polls: documents without a poll are looked for, too
    before: dict[str, PollCopy]
    end_s: float
    seen: dict[str, list[Difference]] = field(default_factory=dict)  # at the last sight
    sure: dict[str, list[Difference]] = field(default_factory=dict)


class SinkAudits:
    """Runs on the node's loop."""

    def __init__(self, replica: Replica, flushers: Flushers, turns: Turns, bring_back: Bring) -> None:
        self._replica, self._flushers, self._turns, self._bring_back = replica, flushers, turns, bring_back
        self._one = asyncio.Lock()

    async def reach(self, version: int) -> int:
        """See that the state reaches this version soon, with entries that change nothing. Returns the version.

        Raises `NoLeader`, or `Invalid` if it is too far away.
        """
        self._lead()
        if version - self._replica.state.version > AHEAD_MAX:
            raise Invalid(f"at most {AHEAD_MAX} entries are added, and version {version:,} is farther away")
        while self._replica.state.version < version:
            await self._add_entry()
        return self._replica.state.version

    async def page(self, after: str | None, *, sink: str | None = None, repair: bool = False) -> AuditedPage:
        """The polls after this one, by their ids. Raises `NoLeader`, `NotReady` or `Invalid`."""
        self._lead()
        flushers = self._chosen(sink)
        term = self._replica.term
        async with self._one:
            ids, more = self._next_polls(after)
            end_s = time.monotonic() + PAGE_S
            audited = [await self._audit(each, ids, after is None, repair, end_s) for each in flushers]
        self._lead()
        if self._replica.term != term:
            raise NoLeader("another leadership began during the audit; begin it again")
        version = self._replica.state.version
        return AuditedPage(self._replica.node_id, term, version, len(ids), audited, ids[-1] if more else None)

    # ---- one sink ---------------------------------------------------------------------------------------------------

    async def _audit(
        self, flusher: Flusher, ids: Sequence[str], first: bool, repair: bool, end_s: float
    ) -> AuditedSink:
        audited = AuditedSink(flusher.name)
        if not isinstance(flusher.sink, AuditableSink):
            audited.why = f"what stands in {flusher.name} cannot be read"
        else:
            audited.why = flusher.why_no_audit()
        if audited.why is not None:
            return audited
        assert isinstance(flusher.sink, AuditableSink)
        look = _Look(flusher, flusher.sink, first, await self._copies(ids), end_s)
        try:
            audited.documents, audited.undecided = await self._look(look)
            if repair and look.sure:
                await self._repair(look)
        except (SinkError, NotReady) as error:
            audited.why = str(error)
        self._tell_of_untold(look)
        audited.differences = [each for found in look.sure.values() for each in found]
        return audited

    async def _look(self, look: _Look) -> tuple[int, list[Undecided]]:
        """Returns how many documents there are, and of which polls nothing can be told."""
        found = await self._found(look, look.before)
        strange = await self._strange(look)
        doubtful = {id for id in look.before if not _agrees(look.before[id], found.get(id), self._cluster_id)}
        altered = {
            id: _seen(look.before[id], found[id], self._cluster_id) for id in doubtful if is_altered(found.get(id))
        }
        undecided: list[Undecided] = []
        for _ in range(ROUNDS):
            if not doubtful and not strange:
                break
            try:
                doubtful, strange = await self._look_again(look, doubtful, strange, altered)
            except NotReady as error:
                undecided = [Undecided(id, error.detail) for id in sorted({*doubtful, *strange})]
                break
        else:
            undecided = [Undecided(id, "it changes too often to be compared") for id in sorted({*doubtful, *strange})]
        return len(found), undecided

    async def _look_again(
        self, look: _Look, doubtful: Collection[str], strange: Collection[str], altered: Mapping[str, list[Difference]]
    ) -> tuple[set[str], set[str]]:
        """Wait for a flush, and look at those that did not agree. Returns those of which nothing is sure yet."""
        version = max((look.before[id].version for id in doubtful), default=self._replica.state.version)
        await look.flusher.flushed(version, max(0.1, look.end_s - time.monotonic()))
        before = {id: look.before[id] for id in doubtful}
        found, after = await self._found(look, before), await self._copies(list(doubtful))
        unsure: set[str] = set()
        for id, copy in after.items():  # those that were deleted meanwhile are left out
            try:
                differences = compare(before[id], found.get(id), copy, self._cluster_id)
            except Moved:
                unsure.add(id)
                continue
            known = look.seen.get(id)
            if not differences and id in altered:
                look.sure[id] = _written_over(altered[id] if before[id].results == copy.results else [], id)
            elif differences and (known == differences or all(each.kind in _SURE for each in differences)):
                look.sure[id] = differences
            elif differences:
                look.seen[id] = differences
                unsure.add(id)
        look.before.update(after)
        return unsure, await self._still_strange(look, strange)

    async def _still_strange(self, look: _Look, strange: Collection[str]) -> set[str]:
        """Documents that stand there without a poll, after a flush that should have marked them."""
        left = set(strange) & await self._strange(look) if strange else set()
        for id in left:
            words = "the sink has a document of it, and the cluster has no such poll"
            look.sure[id] = [Difference(id, "unknown_poll", words)]
        return set()

    async def _strange(self, look: _Look) -> set[str]:
        if not look.first:
            return set()
        ids = await asyncio.to_thread(look.sink.ids_of, self._cluster_id, timeout_s=LOOK_S)
        return {id for id in ids if self._replica.state.poll_version(id) is None}

    def _tell_of_untold(self, look: _Look) -> None:
        """What was edited, and written over by the flush a moment before the audit came to it."""
        deviations = look.flusher.deviations
        for id in look.sure:
            deviations.told(id)
        for id in deviations.untold(UNTOLD_S) if look.first else ():
            deviations.told(id)
            look.sure[id] = _written_over([], id)

    async def _repair(self, look: _Look) -> None:
        """Write again what differs, and look at it again."""
        wrong = {id: found for id, found in look.sure.items() if not _is_left(found)}
        if not wrong:
            return
        look.flusher.rewrite(wrong)
        if any(each.kind == "missing" for found in wrong.values() for each in found):
            await self._bring_back()
        version = await self._add_entry()
        await look.flusher.flushed(version, max(1.0, look.end_s - time.monotonic()))
        before = await self._copies(list(wrong))
        again = _Look(look.flusher, look.sink, False, before, look.end_s)
        _, undecided = await self._look(again)
        unsure = {each.poll for each in undecided}
        for id, differences in wrong.items():
            if id not in again.sure and id not in unsure:
                for each in differences:
                    each.repaired = True

    async def _found(self, look: _Look, copies: Mapping[str, PollCopy]) -> dict[str, FoundDocument]:
        options = {id: copy.view.options for id, copy in copies.items()}
        return await asyncio.to_thread(look.sink.look_at, options, timeout_s=LOOK_S) if options else {}

    # ---- the state --------------------------------------------------------------------------------------------------

    @property
    def _cluster_id(self) -> str:
        return self._replica.state.cluster_id

    def _lead(self) -> None:
        """Raise unless this node leads."""
        if not self._replica.is_leader:
            leader = self._replica.leader
            who = "no leader is known" if leader is None else f"{leader} leads: ask it"
            raise NoLeader(f"only the leader can compare the sinks with the tallies, and {who}")

    def _chosen(self, name: str | None) -> list[Flusher]:
        if name is not None and name not in self._flushers.names:
            raise Invalid(f"this node has no sink {name!r}; it has {', '.join(self._flushers.names) or 'none'}")
        return [flusher for flusher in self._flushers if name in (None, flusher.name)]

    def _next_polls(self, after: str | None) -> tuple[list[str], bool]:
        """Some polls, at least one if there is one, and whether there are more."""
        state = self._replica.state
        ids = sorted(id for id in state.some_polls(10**9) if after is None or id > after)
        chosen: list[str] = []
        options = 0
        for id in ids[:POLLS_MAX]:
            view = state.poll(id)
            options += 0 if view is None else len(view.options)
            if chosen and options > OPTIONS_MAX:
                break
            chosen.append(id)
        return chosen, len(chosen) < len(ids)

    async def _copies(self, ids: Sequence[str]) -> dict[str, PollCopy]:
        """Each exact at its own version."""
        state, copies = self._replica.state, dict[str, PollCopy]()
        async with self._turns:
            for place, id in enumerate(ids):
                if place % 20 == 19:
                    await self._turns.rest()
                view, version = state.poll(id), state.version
                if view is not None:
                    copies[id] = PollCopy(view, await chunks.results_of(state, view, self._turns.rest), version)
        return copies

    async def _add_entry(self) -> int:
        """Add an entry to the log that changes nothing but the version. Returns that."""
        self._lead()
        applied: Applied = await self._replica.propose(entry.encode_entry(self._replica.now_ms(), []))
        return applied.version


def _agrees(copy: PollCopy, found: FoundDocument | None, cluster_id: str) -> bool:
    return not _seen(copy, found, cluster_id)


def _seen(copy: PollCopy, found: FoundDocument | None, cluster_id: str) -> list[Difference]:
    """As if the poll did not change: what differs, or seems to."""
    return compare(copy, found, copy, cluster_id)


def _written_over(differences: Sequence[Difference], id: str) -> list[Difference]:
    """What differed until a moment ago."""
    words = "its document was changed by hand or by another program"
    told = [msgspec.structs.replace(each, repaired=True) for each in differences]
    told = told or [Difference(id, "edited", words, repaired=True)]
    return [msgspec.structs.replace(each, words=f"{each.words}; the flush wrote over it by itself") for each in told]


def _is_left(differences: Sequence[Difference]) -> bool:
    return all(each.kind in _LEFT or each.repaired for each in differences)
