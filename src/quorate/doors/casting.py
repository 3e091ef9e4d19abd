"""Votes of all connections of a door, cast together: those that come in one turn of the loop are one request.

A request to the submitter costs more than the votes in it. With hundreds of clients, each of which sends one vote and
waits, a turn has dozens of votes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from quorate.cluster.submit.submitter import Submitter
from quorate.cluster.submit.vote_columns import DecidedColumns, VoteColumns
from quorate.crash_points import crash_point
from quorate.doors.by_hand import ByHand
from quorate.errors import QuorateError
from quorate.tracing import Tracer

MANY = 100  # votes; no more are cast together, because a request of more has to give way to others

log = logging.getLogger(__name__)


class Voter(Protocol):
    """Whose votes are cast. One of these is called, once."""

    def all_counted(self, version: int) -> None:
        """Each of them is counted now, and was not before."""

    def decided(self, version: int, outcomes: bytes) -> None:
        """`outcomes`: an `Outcome` for each vote."""

    def not_counted(self, error: BaseException) -> None:
        """None of them was counted, or it is not known."""


class Casting(ByHand):
    """Votes that go together."""

    __slots__ = ("_trace", "_tracer", "_voters", "votes")

    def __init__(self, tracer: Tracer | None) -> None:
        super().__init__()
        self._tracer, self._trace = tracer, None if tracer is None else tracer.begin(())
        if self._trace is not None:
            self.trace(self._trace)
        self.votes = VoteColumns([], [])
        self._voters: list[tuple[Voter, int]] = []  # and the place of the first of its votes

    @property
    def voters(self) -> int:
        return len(self._voters)

    def add(self, voter: Voter, votes: VoteColumns) -> None:
        self._voters.append((voter, len(self.votes.keys)))
        self.votes.keys += votes.keys
        self.votes.ids += votes.ids

    def ended(self, value: DecidedColumns) -> None:
        crash_point("answer-before-send")
        version, outcomes = value
        if any(outcomes):
            self._tell_each(version, outcomes)
        else:
            for voter, _ in self._voters:
                _tell(voter.all_counted, version)
        self._end_trace("")

    def _tell_each(self, version: int, outcomes: bytes) -> None:
        ends = [*(start for _, start in self._voters[1:]), len(outcomes)]
        for (voter, start), end in zip(self._voters, ends, strict=True):
            own = outcomes[start:end]
            if any(own):
                _tell(voter.decided, version, own)
            else:
                _tell(voter.all_counted, version)

    def failed(self, error: BaseException) -> None:
        for voter, _ in self._voters:
            _tell(voter.not_counted, error)
        self._end_trace(error.kind if isinstance(error, QuorateError) else type(error).__name__)

    def _end_trace(self, error: str) -> None:
        if self._trace is not None and self._tracer is not None:
            self._tracer.end_command(self._trace, "XADD", len(self.votes.keys), error)


def _tell(told: Callable[..., None], *what: Any) -> None:
    try:
        told(*what)
    except Exception:  # of one connection; the others must be answered
        log.exception("the answer to a vote failed")


class Castings:
    """Of one door. Used on the node's loop. `tracer`: of a door that does not trace its requests one by one."""

    def __init__(self, submitter: Submitter, timeout_s: float, tracer: Tracer | None = None) -> None:
        self._submitter, self._timeout_s, self._tracer = submitter, timeout_s, tracer
        self._loop = asyncio.get_running_loop()
        self._gathering: dict[int, Casting] = {}  # by share
        self._scheduled = False

    def cast(self, voter: Voter, votes: VoteColumns, share: int) -> Casting:
        """The casting that the votes go with. Many votes go alone, as one request."""
        if len(votes.keys) >= MANY:
            alone = Casting(self._tracer)
            alone.add(voter, votes)
            self._loop.call_soon(self._run, alone, share)  # its voter knows it by then, whatever becomes of it
            return alone
        full = self._gathering.get(share)
        if full is not None and len(full.votes.keys) + len(votes.keys) >= MANY:
            del self._gathering[share]
            self._loop.call_soon(self._run, full, share)
        casting = self._gathering.get(share) or self._begin(share)
        casting.add(voter, votes)
        return casting

    def _begin(self, share: int) -> Casting:
        casting = self._gathering[share] = Casting(self._tracer)
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
        voters = casting.voters
        casting.run(self._submitter.cast_columns(casting.votes, timeout_s=self._timeout_s, share=share, clients=voters))
