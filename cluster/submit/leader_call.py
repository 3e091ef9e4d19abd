"""The one way to the leader, for votes, reads and administration.

Promise. A request is handled by a node that leads, or its caller is told the truth: "surely not" (an error whose
`definite` is True: nothing changed) or "unknown" (`OutcomeUnknown`: it may have had its effect). A node that does not
lead refuses the requests of its peers. Only a request that a peer has it pass on to a leader, by that leader's name and
term, goes one hop further (`cluster/raft/relay.py`); here that is a call to the leader like any other.

A request is in one of three states:

- waiting: it has not left this node. No leader is ready, or the queue that it stands in has no free place.
- sent: a leader has it, so it may have an effect. That leader may be this node itself.
- told: its caller has an answer or an error.

What can happen to it:

- waiting to sent: a leader is ready.
- sent to told: the leader answered, or refused it for good.
- sent to waiting: the leader surely did not take it, because it does not lead or is stopping (`may_try_again`). The
  request is tried again with the next leader until its deadline.
- waiting to told, at the deadline, or as soon as no leader can be expected: "surely not", `NoLeader` or `Overloaded`. A
  normal election is waited for.
- sent to told, when the answer does not come in time, the connection breaks, or the leader was replaced and is silent:
  "unknown". For a request that changes nothing (a read) this is as good as "surely not": it is tried again, or told
  `NoLeader`.

A leader that was replaced may still know what became of a request, or refuse it for sure: when it handed leadership
over, it does. So an attempt that was sent to it goes on, without a place (`abandon_others`), and its answer is taken.
The replica ends the attempt an election timeout after that leader spoke last (`Replica.call_leader`). For a leader that
is cut off this is at once, because it was silent for longer before another one could be elected.

The same is true of the way to a leader. When the leader is heard again, or is reached over another peer, attempts over
the former way go on without a place, for an election timeout at most: that peer may have fallen silent.

There are two users. `ask` is for a caller that waits: reads and administration. `start` is for the queue of batches,
which decides itself what leaves when, and where a batch must cost no more tasks than the call itself. Both wait by the
same `LeaderWait`, and are served by `_serve`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeGuard, TypeVar

from quorate.cluster.replica import PeerHandler, Replica
from quorate.cluster.submit.leader_wait import LeaderWait
from quorate.errors import NoLeader, NotReady, OutcomeUnknown, Overloaded, QuorateError
from quorate.unreadable import UNREADABLE

T = TypeVar("T")


def may_try_again(error: BaseException) -> TypeGuard[NoLeader | NotReady]:
    """Whether the leader surely did not take the request, and the next leader may."""
    return isinstance(error, NoLeader | NotReady)


async def _readable(decoding: Awaitable[T], leader: str) -> T:
    try:
        return await decoding
    except UNREADABLE as error:
        raise OutcomeUnknown(unreadable(leader, error)) from None


def unreadable(leader: str, error: Exception) -> str:
    return f"the answer of {leader} cannot be read ({error}): do both nodes run the same version of Quorate?"


class LeaderCall:
    """Requests of one kind: sends this node's own to the leader, and serves those that its peers send here.

    `handler` is called only while this node leads. `no_leader` is what a caller is told where no leader is known.
    """

    def __init__(
        self, replica: Replica, kind: str, handler: PeerHandler, *, no_leader: str, changes_nothing: bool = False
    ) -> None:
        self.wait = LeaderWait(replica, no_leader)
        self._replica = replica
        self._kind = kind
        self._changes_nothing = changes_nothing
        # Those that hold a place; the leader that each asks, and the peer that passes it on, if there is one.
        self._attempts: dict[asyncio.Future[bytes], tuple[str, str | None]] = {}
        self.serve(kind, handler)

    def serve(self, kind: str, handler: PeerHandler) -> None:
        """Another kind that peers send here."""
        self._replica.serve(kind, partial(self._serve, handler))

    # ---- a caller that waits ----------------------------------------------------------------------------------------

    async def ask(
        self,
        request: Callable[[float], tuple[bytes, float]],
        *,
        here: Callable[[], Awaitable[T]],
        decode: Callable[[bytes], Awaitable[T]],
        deadline_s: float,
    ) -> T:
        """The leader's answer, or that of `here` if this node leads.

        `request` is called before each attempt with the seconds left until the deadline, and gives what is sent and
        how many seconds its answer may take. The deadline bounds the wait for a leader and the last attempt's start.
        """
        loop = asyncio.get_running_loop()
        while True:
            leader = await self.wait.until_ready(deadline_s)
            try:
                if leader == self._replica.node_id:
                    return await here()
                body, answer_s = request(max(0.0, deadline_s - loop.time()))
                answer = await self.once(leader, body, timeout_s=answer_s)
                return await _readable(decode(answer), leader)
            except QuorateError as error:
                if not may_try_again(error) or loop.time() >= deadline_s:
                    raise
                self.wait.back_off(error)

    async def once(self, leader: str, request: bytes, *, timeout_s: float | None = None) -> bytes:
        """One attempt at this leader. Raises what it refused the request with, or what `Replica.call_leader` raises."""
        try:
            return await self._replica.call_leader(leader, self._kind, request, timeout_s=timeout_s)
        except QuorateError as error:
            if error.definite or not self._changes_nothing:
                raise
            late = f"the leader ({leader}) did not answer in time; reading changes nothing, ask again"
            raise NoLeader(late) from error

    # ---- a queue ----------------------------------------------------------------------------------------------------

    @property
    def places_taken(self) -> int:
        return len(self._attempts)

    def start(
        self, leader: str, request: bytes, done: Callable[[asyncio.Future[bytes]], None], *, kind: str | None = None
    ) -> asyncio.Future[bytes]:
        """One attempt at this leader, which holds a place until it ends, then `done` is called with it."""
        attempt = asyncio.ensure_future(self._replica.call_leader(leader, kind or self._kind, request))
        self._attempts[attempt] = self._way_to(leader)

        def ended(attempt: asyncio.Future[bytes]) -> None:
            self._attempts.pop(attempt, None)
            done(attempt)

        attempt.add_done_callback(ended)
        return attempt

    def abandon_others(self, leader: str) -> None:
        """Free the places of attempts at any leader but this one, or on another way to it. They go on: see the module's
        text."""
        way = self._way_to(leader)
        for attempt in [attempt for attempt, asked in self._attempts.items() if asked != way]:
            del self._attempts[attempt]

    def _way_to(self, leader: str) -> tuple[str, str | None]:
        return leader, self._replica.leader_via

    def give_up(self, attempt: asyncio.Future[bytes]) -> None:
        """The attempt's caller was told "unknown": end the attempt if it was abandoned.

        One that holds a place keeps it until it ends: a silent leader is sent no more than it has places.
        """
        if attempt not in self._attempts:
            attempt.cancel()

    def too_late(self, *, sent: bool) -> QuorateError:
        """What a batch is told at its deadline, or when it need not wait that long."""
        if sent:
            return OutcomeUnknown("no answer in time")
        if self.wait.known is None:
            return NoLeader(self.wait.no_leader)
        return Overloaded("the cluster could not take this in time. Nothing was changed; try again")

    # ---- between nodes ----------------------------------------------------------------------------------------------

    async def _serve(self, handler: PeerHandler, peer: str, request: bytes) -> bytes:
        """Handle a peer's request, or refuse it for sure. It is not forwarded again."""
        if not self._replica.is_leader:
            raise NoLeader(f"{self._replica.node_id} does not lead now")
        return await handler(peer, request)
