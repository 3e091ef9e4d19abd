"""Votes of all connections, cast together: those that come in one turn of the loop are one request to the submitter.

A request costs more than the votes in it. With hundreds of clients, each of which sends one vote and waits, a turn has
dozens of votes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from quorate.cluster.submit.submitter import Submitter
from quorate.cluster.submit.vote_columns import VoteColumns
from quorate.crash_points import crash_point
from quorate.doors.by_hand import ByHand, Work
from quorate.errors import QuorateError
from quorate.tracing import REQUEST, Tracer
from quorate.vote import Rejection, Tallied

MANY = 100  # votes; no more are cast together, because a request of more has to give way to others
NONE: Mapping[int, Rejection] = {}

log = logging.getLogger(__name__)


class Voter(Protocol):
    """Whose votes are cast, and who is told once what became of them."""

    def counted(self, version: int, rejected: Mapping[int, Rejection]) -> None:
        """`rejected`: by their place among its votes."""

    def not_counted(self, error: BaseException) -> None: ...


class Casting(ByHand):
    """Votes that go together."""

    __slots__ = ("_note", "_trace", "_tracer", "_voters", "votes")

    def __init__(self, note: Callable[[Tallied], None], tracer: Tracer | None) -> None:
        super().__init__()
        self._note = note
        self._tracer, self._trace = tracer, None if tracer is None else tracer.begin(())
        if self._trace is not None:
            self._send = self._send_traced
        self.votes = VoteColumns([], [])
        self._voters: list[tuple[Voter, int]] = []  # and the place of the first of its votes

    def add(self, voter: Voter, votes: VoteColumns) -> None:
        self._voters.append((voter, len(self.votes)))
        self.votes.keys += votes.keys
        self.votes.ids += votes.ids

    def ended(self, value: Tallied) -> None:
        crash_point("answer-before-send")
        self._note(value)
        rejected = {rejection.index: rejection for rejection in value.rejected}
        ends = [*(start for _, start in self._voters[1:]), len(self.votes)]
        for (voter, start), end in zip(self._voters, ends, strict=True):
            own = {at - start: rejected[at] for at in range(start, end) if at in rejected} if rejected else NONE
            self._tell(voter.counted, value.version, own)
        self._end_trace("")

    def failed(self, error: BaseException) -> None:
        for voter, _ in self._voters:
            self._tell(voter.not_counted, error)
        self._end_trace(error.kind if isinstance(error, QuorateError) else type(error).__name__)

    def _send_traced(self, work: Work) -> Any:
        token = REQUEST.set(self._trace)
        try:
            return work.send(None)
        finally:
            REQUEST.reset(token)

    def _end_trace(self, error: str) -> None:
        if self._trace is not None and self._tracer is not None:
            self._tracer.end_command(self._trace, "XADD", len(self.votes), error)

    def _tell(self, told: Callable[..., None], *what: Any) -> None:
        try:
            told(*what)
        except Exception:  # of one connection; the others must be answered
            log.exception("the answer to a vote failed")


class Castings:
    """Used on the node's loop. `note` counts what became of votes."""

    def __init__(
        self, submitter: Submitter, timeout_s: float, note: Callable[[Tallied], None], tracer: Tracer | None
    ) -> None:
        self._submitter, self._timeout_s, self._note, self._tracer = submitter, timeout_s, note, tracer
        self._loop = asyncio.get_running_loop()
        self._gathering: dict[int, Casting] = {}  # by share
        self._scheduled = False

    def cast(self, voter: Voter, votes: VoteColumns, share: int) -> Casting:
        """The casting that the votes go with. Many votes go alone, as one request."""
        if len(votes) >= MANY:
            alone = Casting(self._note, self._tracer)
            alone.add(voter, votes)
            self._run(alone, share)
            return alone
        full = self._gathering.get(share)
        if full is not None and len(full.votes) + len(votes) >= MANY:
            del self._gathering[share]
            self._loop.call_soon(self._run, full, share)
        casting = self._gathering.get(share) or self._begin(share)
        casting.add(voter, votes)
        return casting

    def _begin(self, share: int) -> Casting:
        casting = self._gathering[share] = Casting(self._note, self._tracer)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._leave)
        return casting

    def _leave(self) -> None:
        """What came in this turn goes."""
        self._scheduled = False
        gathered, self._gathering = self._gathering, {}
        for share, casting in gathered.items():
            self._run(casting, share)

    def _run(self, casting: Casting, share: int) -> None:
        casting.run(self._submit(casting, share))

    def _submit(self, casting: Casting, share: int) -> Coroutine[Any, Any, Tallied]:
        return self._submitter.cast_columns(casting.votes, timeout_s=self._timeout_s, share=share)
