"""One node's leadership in one term and generation, as the flush of one sink sees it.

It begins with a barrier, so that what it writes holds everything that was ever acknowledged, and it refuses a sink that
holds another cluster's documents. Then it writes every poll once, and after that only the polls that changed: absolute
totals, exact at a version, under the fence (generation, term, version). What a leader writes after it lost its
leadership changes nothing, because a newer fence is stored.

`note` and `lasts` are for the loop; `flush` runs on the flusher's thread.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from quorate.cluster.entry import ChangePoll
from quorate.cluster.flush.additions import Additions
from quorate.cluster.flush.deletions import Deletions
from quorate.cluster.flush.deviations import Deviations
from quorate.cluster.flush.importer import Importer
from quorate.cluster.flush.imports import Imported, Imports
from quorate.cluster.flush.mirror import ChangedNames, Changes, CopyRequest, Mirror, Sized, Slice, sized
from quorate.cluster.fsm import Applied, PollView, StateMachine, Tombstone
from quorate.cluster.loop_bridge import Deposed, LoopBridge
from quorate.cluster.replica import Replica
from quorate.crash_points import crash_point
from quorate.sinks.checkable import CheckableSink
from quorate.sinks.deletable import DeletableSink
from quorate.sinks.importable import ImportableSink, ManualPoll
from quorate.sinks.sink import Fence, PollDocument, Sink, SinkError, WriteOutcome

OPTIONS_PER_TURN = 2_000  # looked up in one turn of the loop
MARKED_AT_ONCE = 200  # deleted polls
MARKED_A_FLUSH = 2_000  # so that a new leadership with very many does not hold up what changes
CHECK_EVERY_S = 10.0  # between two comparisons of what a sink stores with what was written

log = logging.getLogger(__name__)


class Obstacle(enum.Enum):
    FOREIGN = "foreign"  # the sink holds another cluster's documents: `quorate sink adopt`
    OUTRANKED = "outranked"  # the sink holds a newer fence than the leader's own


class Stopped(Exception):
    """Nothing may be written; the text says why, and what to do."""

    def __init__(self, obstacle: Obstacle, why: str) -> None:
        super().__init__(why)
        self.obstacle = obstacle


@dataclass(frozen=True, slots=True)
class Flush:
    """One flush that succeeded. At its end the sink held all that had been applied at its beginning."""

    version: int
    began_s: float  # monotonic
    ended_s: float
    outcomes: Mapping[WriteOutcome, int]  # how many documents had which outcome


class Leadership:
    """`importer` is None for a sink that does not import."""

    def __init__(
        self,
        replica: Replica,
        sink: Sink,
        bridge: LoopBridge,
        *,
        importer: Importer | None,
        imports: Imports,
        deletions: Deletions,
        deviations: Deviations,
        timeout_s: float,
    ) -> None:
        self._replica, self._sink, self._bridge = replica, sink, bridge
        self._importer, self._imports, self._deviations = importer, imports, deviations
        self._deletions = deletions
        self._additions_in = (
            Additions(sink, self._known_here, self._add_options) if isinstance(sink, ImportableSink) else None
        )
        self._timeout_s = timeout_s
        self.term = replica.term
        self.generation = self._state.generation
        self._cluster_id = self._state.cluster_id
        self._changes = Changes()
        self._noting = False  # changes were taken, and not all of them are in the mirror yet
        self._mirror: Mirror | None = None  # None until every poll is known by name
        self._marks_lost = True  # all deleted polls have to be marked
        self._unmarked: dict[str, int] = {}  # deleted polls that are to be marked, with their creations
        self.outcomes: dict[WriteOutcome, int] = {}  # of the documents of the last flush, also if it failed
        self._checked_s = time.monotonic()
        self._rewrites: set[str] = set()  # polls that an audit wants to be written again
        self._rewriting: set[str] = set()  # those of them that the next flush writes
        self.is_repairing = False  # the sink lost what was written, and not everything is written again

    # ---- on the loop ------------------------------------------------------------------------------------------------

    @property
    def lasts(self) -> bool:
        ours = (self._replica.term, self._state.generation) == (self.term, self.generation)
        return ours and self._replica.is_leader

    @property
    def pending(self) -> bool:
        return bool(self._changes) or self._noting or self.behind > 0 or bool(self._unmarked)

    @property
    def behind(self) -> int:
        """How many polls are known to be out of date in the sink."""
        return 0 if self._mirror is None else self._mirror.behind

    def note(self, applied: Applied) -> None:
        self._changes.add(applied)

    def rewrite(self, ids: Iterable[str]) -> None:
        """Have the next flush write these polls, whatever it knows of their documents."""
        self._rewrites.update(ids)

    @property
    def _state(self) -> StateMachine:
        return self._replica.state

    def _sure(self) -> None:
        """Raise `Deposed` if this leadership has ended."""
        if not self.lasts:
            raise Deposed

    def _take(self) -> ChangedNames:
        self._sure()
        self._noting = True
        self._rewriting, self._rewrites = self._rewriting | self._rewrites, set()
        return self._changes.take(self._state)

    def _copy(self, requests: Sequence[CopyRequest]) -> Slice:
        self._sure()
        return self._changes.copy(self._state, requests)

    def _all_polls(self) -> list[Sized]:
        self._sure()
        return [sized(poll) for poll in self._state.polls()]

    def _holders(self, options: Sequence[str]) -> list[Sequence[str]]:
        return [tuple(self._state.polls_with(option)) for option in options]

    def _known(self, ids: Sequence[str]) -> dict[str, Mapping[str, int] | None]:
        """Of these polls, those the cluster has, each with the results it was imported with."""
        return {id: self._state.initial_results(id) for id in ids if self._state.poll(id) is not None}

    def _views(self, ids: Sequence[str]) -> dict[str, PollView]:
        return {id: view for id in ids if (view := self._state.poll(id)) is not None}

    # ---- on the flusher's thread ------------------------------------------------------------------------------------

    def flush(self) -> Flush:
        """Raises `Deposed`, `Stopped`, `SinkError`, `QuorateError` or `TimeoutError`; it may be called again."""
        began_s = time.monotonic()
        self.outcomes = {}
        mirror = self._mirror or self._begin()
        if self._marks_lost:
            stones = self._bridge.call_on_loop(self._begin_marking)
            self._unmarked, self._marks_lost = {stone.id: stone.creation for stone in stones}, False
        claims = self._import_manual_polls(mirror)
        version = self._note_changes(mirror)
        for id in (*claims, *self._rewriting):
            mirror.write_again(id)
        self._rewriting = set()
        self._check_if_due(mirror)
        while requests := mirror.next_slice():
            copied = self._bridge.call_on_loop(partial(self._copy, requests))
            for id in {request.id for request in requests} - {poll.view.id for poll in copied.polls}:
                mirror.remove(id)  # it was deleted meanwhile
            self._write(mirror, mirror.update(copied), Fence(self.generation, self.term, copied.version))
        self._mark_deleted(mirror, Fence(self.generation, self.term, version))
        self.is_repairing = False
        return Flush(version, began_s, time.monotonic(), self.outcomes)

    def write_all_again(self) -> None:
        self._marks_lost = True
        if self._mirror is not None:
            self._mirror.write_all_again()

    def _mark_deleted(self, mirror: Mirror, fence: Fence) -> None:
        """Mark the documents of deleted polls.

        Where a new poll has the id, nothing is taken in, so its own document is enough. The fence is of the moment when
        the deletions were noted: older than any poll that was created since.
        """
        if not isinstance(self._sink, DeletableSink) or self._bridge.stopping:
            self._unmarked.clear()
            return
        marked = {id: creation for id, creation in self._unmarked.items() if mirror.has(id)}
        unmarked = [each for each in self._unmarked.items() if each[0] not in marked][:MARKED_A_FLUSH]
        for start in range(0, len(unmarked), MARKED_AT_ONCE):
            some = dict(unmarked[start : start + MARKED_AT_ONCE])
            done = self._sink.mark_deleted(some, fence, self._cluster_id, timeout_s=self._left_s())
            marked |= {id: some[id] for id in done}
        if marked:
            self._bridge.call_on_loop(partial(self._note_marked, marked))
            for id in marked:
                del self._unmarked[id]

    def _note_marked(self, marked: Mapping[str, int]) -> None:
        self._sure()
        self._deletions.marked(self._sink.name, marked)

    def _begin_marking(self) -> Sequence[Tombstone]:
        self._sure()
        return self._deletions.begin(self._sink.name)

    def _check_if_due(self, mirror: Mirror) -> None:
        """Compare some documents with what was written. Those that differ are written again, which tells why."""
        now_s = time.monotonic()
        if self._bridge.stopping:  # the last flush: its time is for what changed
            return
        if isinstance(self._sink, CheckableSink) and now_s - self._checked_s >= CHECK_EVERY_S:
            self._checked_s = now_s
            written = mirror.to_check()
            for id in self._sink.deviations(written, self._cluster_id, timeout_s=self._left_s()) if written else ():
                mirror.write_again(id)

    def _begin(self) -> Mirror:
        self._bridge.wait(self._replica.barrier())
        polls = self._bridge.call_on_loop(self._all_polls)
        self._refuse_foreign()
        if self._importer is not None:
            self._importer.check_soon()
        self._mirror = Mirror(polls)
        return self._mirror

    def _import_manual_polls(self, mirror: Mirror) -> Sequence[str]:
        """The polls that the flush may try to write now, though people put their documents there."""
        if self._importer is None or self._bridge.stopping:
            return ()
        return self._importer.check_if_due(
            lambda ids: self._bridge.call_on_loop(partial(self._known, ids)),
            self._take_in,
            lambda problems: self._additions(mirror, problems),
            self._left_s(),
        )

    def _additions(self, mirror: Mirror, problems: dict[str, str]) -> Sequence[str]:
        """Take in the options that people added to documents of polls."""
        if self._additions_in is None:
            return ()
        return self._additions_in.take_in(mirror.sizes, self._cluster_id, problems, self._left_s())

    def _known_here(self, ids: Sequence[str]) -> dict[str, PollView]:
        """Those of these polls that are still the polls whose documents the mirror knows."""
        views, mirror = self._bridge.call_on_loop(partial(self._views, ids)), self._mirror
        return {id: view for id, view in views.items() if mirror is not None and mirror.is_of(view)}

    def _add_options(self, changes: Sequence[ChangePoll]) -> Sequence[Imported]:
        return self._bridge.wait(self._imports.add_options(changes, self._sure))

    def _take_in(self, polls: list[ManualPoll]) -> list[Imported]:
        return self._bridge.wait(self._imports.take_in(self._sink.name, polls, self._sure))

    def _note_changes(self, mirror: Mirror) -> int:
        """Note which polls the changed names make out of date. Returns the version up to which this is done."""
        try:
            changed = self._bridge.call_on_loop(self._take)
            self._unmarked.update((stone.id, stone.creation) for stone in changed.deleted)
            for id in changed.gone:
                mirror.remove(id)
            for poll in changed.polls:
                mirror.poll_changed(poll)
            for start in range(0, len(changed.options), OPTIONS_PER_TURN):
                some = changed.options[start : start + OPTIONS_PER_TURN]
                for option, ids in zip(some, self._bridge.call_on_loop(partial(self._holders, some)), strict=True):
                    for id in ids:
                        mirror.option_changed(id, option)
        except BaseException:
            self._mirror = None  # the names may be lost: begin with every poll
            raise
        self._noting = False
        return changed.version

    def _write(self, mirror: Mirror, documents: Sequence[PollDocument], fence: Fence) -> None:
        crash_point("flush-before-write")
        outcomes = self._sink.write(documents, fence, self._cluster_id, timeout_s=self._left_s())
        crash_point("flush-before-note")
        if untold := [document.id for document in documents if document.id not in outcomes]:
            raise SinkError(f"{self._sink.name} did not say what became of {untold[0]!r}")
        for id, outcome in outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            self._note_outcome(mirror, id, outcome, fence)
        if lost := [id for id, outcome in outcomes.items() if outcome is WriteOutcome.RESTORED]:
            self.is_repairing = True
            self._deviations.lost(lost[0])
            self._marks_lost = True
            mirror.lost()
        if WriteOutcome.FOREIGN in outcomes.values():
            self._mirror = None
            self._refuse_foreign()
            raise Stopped(Obstacle.FOREIGN, f"{self._sink.name} holds documents whose fences cannot be read")
        if WriteOutcome.NEWER in outcomes.values():
            self._refuse_newer(fence)

    def _note_outcome(self, mirror: Mirror, id: str, outcome: WriteOutcome, fence: Fence) -> None:
        if outcome.is_stored:
            mirror.written(id, str(fence))
            self._deviations.stored(id)
            if outcome is WriteOutcome.EDITED:
                self._deviations.edited(id)
        elif outcome is WriteOutcome.GONE:
            self._deviations.deleted(id)
            mirror.deleted(id)
        elif outcome in (WriteOutcome.CHANGED, WriteOutcome.TAKEN, WriteOutcome.REPLACED):
            if self._importer is not None:
                self._importer.refused(id, outcome)
            mirror.leave_out(id)

    def _refuse_foreign(self) -> None:
        foreign = self._sink.newest_foreign_fence(self._cluster_id, timeout_s=self._left_s())
        if foreign is not None:
            raise Stopped(
                Obstacle.FOREIGN,
                f"{self._sink.name} holds tallies of another cluster ({foreign[0]}, fence {foreign[1]}), and this is "
                f"{self._cluster_id}. Nothing is written over them; `quorate sink adopt` takes them over",
            )

    def _refuse_newer(self, fence: Fence) -> None:
        self._mirror = None
        self._bridge.wait(self._replica.barrier())  # raises, as a rule: a newer leader wrote that
        self._bridge.call_on_loop(self._sure)
        raise Stopped(
            Obstacle.OUTRANKED,
            f"{self._sink.name} holds a newer fence than {fence}, though this node leads: the nodes' data is older "
            "than the sink. `quorate sink adopt` lets this cluster write over it",
        )

    def _left_s(self) -> float:
        return self._bridge.left_s(self._timeout_s)
