"""The one wait for a leader: whether one can take a request now, when to ask again after a refusal, and when waiting is
in vain.

Nobody tells a node that another one leads now. So while anybody waits, this looks every `POLL_S`, and tells all who
wait as soon as a leader is ready or none can be expected. A leader that refused a request, because it does not know yet
that it leads or does not lead any more, is not ready for the next `POLL_S`. Another leader is.

Deadlines belong to the requests: a caller's own ends its wait here, and the queue of batches sweeps its batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quorate.cluster.replica import Replica
from quorate.errors import NoLeader, QuorateError

POLL_S = 0.01


class LeaderWait:
    """Runs on the node's loop. `no_leader` is what a caller is told where no leader is known."""

    def __init__(self, replica: Replica, no_leader: str) -> None:
        self._replica = replica
        self.no_leader = no_leader
        self._refused_by: str | None = None  # the leader that refused last, why, and until when it is not asked again
        self._refusal: QuorateError | None = None
        self._refused_until_s = 0.0
        self._waiting: dict[Callable[[], None], None] = {}  # in the order in which they came
        self._looking = False

    # ---- what is known ----------------------------------------------------------------------------------------------

    @property
    def known(self) -> str | None:
        """The leader; None while this node knows none, or is itself elected and has not yet applied its log."""
        leader = self._replica.leader
        return None if leader == self._replica.node_id and not self._replica.is_leader else leader

    @property
    def ready(self) -> str | None:
        """The leader that can take a request now."""
        leader = self.known
        if leader is None or leader != self._refused_by:
            return leader
        return leader if asyncio.get_running_loop().time() >= self._refused_until_s else None

    @property
    def hopeless(self) -> bool:
        """Whether no leader is known, and none can be expected: what waits is refused now, not at its deadline."""
        return self.known is None and not self._replica.expects_leader

    def back_off(self, refusal: QuorateError) -> None:
        """The leader refused a request that may be tried again: do not ask it in a tight loop."""
        self._refused_by, self._refusal = self.known, refusal
        self._refused_until_s = asyncio.get_running_loop().time() + POLL_S

    # ---- waiting ----------------------------------------------------------------------------------------------------

    async def until_ready(self, deadline_s: float, *, other_than: str | None = None) -> str:
        """The leader as soon as one is ready. Raises `NoLeader`, or what the leader refused with, at the deadline (time
        of the event loop), or before it if no leader can be expected."""
        loop = asyncio.get_running_loop()
        while (leader := self.ready) is None or leader == other_than:
            if loop.time() >= deadline_s or self.hopeless:
                raise self._why_not(other_than)
            decided = asyncio.Event()
            self.tell(decided.set)
            try:
                async with asyncio.timeout_at(deadline_s):
                    await decided.wait()
            except TimeoutError:
                continue
            finally:
                self._waiting.pop(decided.set, None)
        return leader

    def _why_not(self, other_than: str | None) -> QuorateError:
        known = self.known
        if known is None:
            return NoLeader(self.no_leader)
        if known == other_than or self._refusal is None:
            return NoLeader(f"{known} still leads")
        return type(self._refusal)(self._refusal.detail)  # a new one: several callers may raise it

    def tell(self, waiter: Callable[[], None]) -> None:
        """Call `waiter` once, as soon as a leader is ready or none can be expected; not in this turn of the loop."""
        self._waiting[waiter] = None
        self._look_later()

    def _look_later(self) -> None:
        if not self._looking and self._waiting:
            self._looking = True
            asyncio.get_running_loop().call_later(POLL_S, self._look)

    def _look(self) -> None:
        self._looking = False
        if self.ready is not None or self.hopeless:
            waiting, self._waiting = self._waiting, {}
            for waiter in waiting:
                waiter()
        self._look_later()
