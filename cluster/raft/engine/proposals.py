"""Open proposals: bounded in bytes, and all of them are answered when the replica stops."""

from __future__ import annotations

import asyncio

from quorate.cluster.fsm import Applied
from quorate.cluster.raft.engine.proposal_outcome import ProposalOutcome
from quorate.crash_points import crash_point
from quorate.errors import NoLeader, OutcomeUnknown, Overloaded, QuorateError, TooLarge
from quorate.vote import ENTRY_BYTES_MAX

OPEN_BYTES_MAX = 64 * 1024 * 1024
ENVELOPE_BYTES = 65_536  # what an entry may have around the biggest batch


class Proposals:
    """The proposals of this node whose outcome is not known yet."""

    def __init__(self) -> None:
        self._open: set[asyncio.Future[Applied]] = set()
        self._bytes = 0

    def refusal(self, size: int) -> TooLarge | Overloaded | None:
        """The reason why an entry of this size cannot be proposed, ever or now; None if it can."""
        limit = ENTRY_BYTES_MAX + ENVELOPE_BYTES
        if size > limit:
            return TooLarge(f"an entry of {size:,} bytes; the limit is {limit:,}")
        if self._bytes + size > OPEN_BYTES_MAX:
            return Overloaded("too many bytes wait for their commit; try again in a moment")
        return None

    def add(self, answer: asyncio.Future[Applied], size: int) -> None:
        self._open.add(answer)
        self._bytes += size
        answer.add_done_callback(lambda done: self._closed(done, size))

    def _closed(self, answer: asyncio.Future[Applied], size: int) -> None:
        self._open.discard(answer)
        self._bytes -= size

    def fail_all(self, error: QuorateError) -> None:
        for answer in list(self._open):
            if not answer.done():
                answer.set_exception(error)


def settle(answer: asyncio.Future[Applied], applied: Applied, outcome: ProposalOutcome) -> None:
    """Tell a proposer the outcome."""
    if answer.done():
        return
    if outcome is ProposalOutcome.COMMITTED:
        crash_point("apply-before-answer")
        answer.set_result(applied)
    elif outcome is ProposalOutcome.NEVER:
        answer.set_exception(NoLeader("another leader's entry took its place; nothing was changed"))
    else:
        answer.set_exception(OutcomeUnknown("a snapshot passed over it"))
