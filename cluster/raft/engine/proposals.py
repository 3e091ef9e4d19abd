"""Open proposals: bounded in bytes, and all of them are answered when the replica stops."""

from __future__ import annotations

import asyncio
from time import perf_counter

from quorate.cluster.fsm import Applied
from quorate.cluster.raft.engine.proposal_outcome import ProposalOutcome
from quorate.cluster.raft.local_state import LocalState
from quorate.crash_points import crash_point
from quorate.errors import NoLeader, OutcomeUnknown, Overloaded, QuorateError, TooLarge
from quorate.measures import BYTES, SHORT_SECONDS, Histogram
from quorate.tracing import ENTRY, EntrySteps
from quorate.vote import ENTRY_BYTES_MAX

OPEN_BYTES_MAX = 64 * 1024 * 1024
ENVELOPE_BYTES = 65_536  # what an entry may have around the biggest batch


class Proposals:
    """The proposals of this node whose outcome is not known yet."""

    def __init__(self, state: LocalState) -> None:
        self._state = state
        # Its size, when it was proposed, and what is noted of it if requests in it are traced.
        self._open: dict[asyncio.Future[Applied], tuple[int, float, EntrySteps | None]] = {}
        self._unsynced: dict[int, EntrySteps] = {}  # by index: of those that are traced
        self._bytes = 0
        self._commit_times = Histogram(SHORT_SECONDS)  # from the proposal until its proposer is told
        self._entry_bytes = Histogram(BYTES)

    def measures(self) -> dict[str, Histogram]:
        return {"commit": self._commit_times, "entry_bytes": self._entry_bytes}

    def refusal(self, size: int) -> TooLarge | Overloaded | None:
        """The reason why an entry of this size cannot be proposed, ever or now; None if it can."""
        limit = ENTRY_BYTES_MAX + ENVELOPE_BYTES
        if size > limit:
            return TooLarge(f"an entry of {size:,} bytes; the limit is {limit:,}")
        if self._bytes + size > OPEN_BYTES_MAX:
            return Overloaded("too many bytes wait for their commit; try again in a moment")
        return None

    def add(self, answer: asyncio.Future[Applied], size: int, index: int) -> None:
        self._bytes += size
        self._open[answer] = size, perf_counter(), (steps := ENTRY.get())
        if steps is not None:
            ENTRY.set(None)  # what is scheduled from here on takes the variables with it
            self._unsynced[index] = steps
        answer.add_done_callback(self._closed)

    def _closed(self, answer: asyncio.Future[Applied]) -> None:
        size, _, _ = self._open.pop(answer)
        self._bytes -= size

    def synced(self, index: int) -> None:
        """This disk has the log up to this index."""
        for each in [traced for traced in self._unsynced if traced <= index]:
            self._unsynced.pop(each).synced_s = perf_counter()

    def fail_all(self, error: QuorateError) -> None:
        for answer in list(self._open):
            if not answer.done():
                answer.set_exception(error)

    def settle(self, answer: asyncio.Future[Applied], applied: Applied, outcome: ProposalOutcome) -> None:
        """Tell a proposer the outcome."""
        if answer.done():
            return
        if outcome is ProposalOutcome.COMMITTED:
            crash_point("apply-before-answer")
            self._measure(answer)
            answer.set_result(applied)
        elif outcome is ProposalOutcome.NEVER:
            answer.set_exception(NoLeader("another leader's entry took its place; nothing was changed"))
        else:
            answer.set_exception(OutcomeUnknown("a snapshot passed over it"))

    def _measure(self, answer: asyncio.Future[Applied]) -> None:
        size, began_s, steps = self._open[answer]
        if steps is not None:
            steps.applied_s = self._state.last_apply_s
        self._commit_times.add(perf_counter() - began_s)
        self._entry_bytes.add(size)
