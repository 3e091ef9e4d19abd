"""Requests with many votes that would change nothing: they are answered from this node's state, and not by the log.

Ten thousand votes for options that no poll has would be megabytes in the log, and tens of milliseconds of each node,
for nothing; so would ten thousand that were counted before. Whether a request looks so is judged by a few of its votes,
drawn by chance. If it does, this node first makes sure that it has applied all that was committed before, as for a
linearizable read, and then decides. Votes that would count go into the log, as ever. Where this node cannot make sure,
all do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from quorate.cluster.fsm import StateMachine
from quorate.cluster.replica import Replica
from quorate.cluster.state.foresight import is_unknown
from quorate.cluster.submit.choices import choice_of, key_of
from quorate.cluster.submit.vote_columns import VoteColumns
from quorate.errors import QuorateError
from quorate.vote import Outcome, Vote

MANY = 100  # votes; a request with fewer costs little in the log
DRAWN, IDLE_OF_DRAWN = 64, 8  # so many of the votes drawn must change nothing
AT_ONCE, VOTE_S = 250, 3e-6  # votes that are decided in one turn of the loop, and what each takes of it
CATCH_UP_S = 1.0

Decide = Callable[[StateMachine, Sequence[int]], bytes]  # an `Outcome` for each of the votes at these places
Turn = Callable[[float], Awaitable[None]]  # waits until so many seconds of the loop may be taken
CatchUp = Callable[[float], Awaitable[None]]  # for so many seconds at the most; raises a QuorateError or TimeoutError
APPLIED = int(Outcome.APPLIED)


async def next_turn(cost_s: float) -> None:
    """Of the loop, where nobody shares it."""
    await asyncio.sleep(0)


class EarlyAnswers:
    """Runs on the node's loop. Without `catch_up`, nothing is answered early."""

    def __init__(self, replica: Replica, catch_up: CatchUp | None, turn: Turn = next_turn) -> None:
        self._replica = replica
        self._catch_up, self._turn = catch_up, turn

    async def of_columns(self, votes: VoteColumns, knew: int, wait_s: float) -> bytearray | None:
        """An outcome for each vote, APPLIED for those that go into the log. None if all of them do."""

        def decide(state: StateMachine, places: Sequence[int]) -> bytes:
            return state.foresight.of_hashed([(choice_of(votes.keys[at]), votes.ids[at]) for at in places], knew)

        count = len(votes)
        if count < MANY or not self._look_idle(count, decide) or not await self._is_current(wait_s):
            return None
        outcomes = bytearray()
        for start in range(0, count, AT_ONCE):
            end = min(start + AT_ONCE, count)
            await self._turn((end - start) * VOTE_S)
            outcomes += decide(self._replica.state, range(start, end))
        _keep_a_witness(outcomes)
        _keep_order(votes.ids, outcomes)
        return None if outcomes.count(APPLIED) == count else outcomes

    async def of_whole(
        self, votes: Sequence[Vote], is_new: Callable[[StateMachine], bool], knew: int, wait_s: float
    ) -> tuple[list[Vote], bytes] | None:
        """The distinct choices of a request that counts as a whole, and their outcomes, if it is refused because of
        them. None if it goes into the log. `is_new` says that it was not counted before, and may be next."""

        def decide(state: StateMachine, places: Sequence[int]) -> bytes:
            return state.foresight.of_whole([votes[place] for place in places], knew)

        if len(votes) < MANY or not self._look_idle(len(votes), decide):
            return None
        choices = list({key_of(vote): vote for vote in votes}.values())
        if len(choices) < MANY or not await self._is_current(wait_s):
            return None
        state = self._replica.state
        outcomes = state.foresight.of_whole(choices, knew) if is_new(state) else b""
        return (choices, outcomes) if any(outcomes) else None

    def _look_idle(self, count: int, decide: Decide) -> bool:
        if self._catch_up is None or self._replica.leader_via is not None:  # then nothing new is applied here
            return False
        drawn = decide(self._replica.state, random.sample(range(count), DRAWN))
        return DRAWN - drawn.count(APPLIED) >= IDLE_OF_DRAWN

    async def _is_current(self, wait_s: float) -> bool:
        """Whether all is applied here that was committed before this call."""
        assert self._catch_up is not None
        try:  # it has a deadline, so it needs a task: who casts may be run by hand (`doors/by_hand.py`)
            await asyncio.ensure_future(self._catch_up(min(CATCH_UP_S, wait_s / 2)))
        except (QuorateError, TimeoutError):
            return False
        return True


def places_of(outcomes: bytearray, of: int) -> list[int]:
    return [place for place, outcome in enumerate(outcomes) if outcome == of]


def _keep_a_witness(outcomes: bytearray) -> None:
    """Have one vote for what nobody knows go into the log: by it the leader learns that it should search its sinks."""
    place = next((place for place, outcome in enumerate(outcomes) if is_unknown(outcome)), None)
    if place is not None:
        outcomes[place] = APPLIED


def _keep_order(ids: Sequence[bytes | None], outcomes: bytearray) -> None:
    """Have a vote go into the log whose id stands on another one that does: which of them is the first matters."""
    logged = {ids[place] for place in places_of(outcomes, APPLIED)} - {None}
    if logged:
        for place, id in enumerate(ids):
            if id in logged:
                outcomes[place] = APPLIED
