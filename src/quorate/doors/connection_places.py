"""Which connections a node keeps when it has no more places, or when one address holds more than its share.

A new client matters more than a connection that waits for a next request: the one that has waited longest is closed for
it. Only when all are at work is the new one refused, in words. A connection that is in the middle of its headers counts
as one that waits: a client that never ends them must not keep others out.

To find the connections that wait costs some milliseconds when there are ten thousand. So it is done at most four times
a second there, and more often where there are fewer. In between a client may be refused although a place has just
become free.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from quorate.doors.address_shares import AddressShares
from quorate.doors.limits import Limits
from quorate.doors.unsent import Sending
from quorate.errors import NotReady, Overloaded, QuorateError
from quorate.words import count

LOOK_AGAIN_S = 25e-6  # for each connection that is open: looking takes a hundredth of the time, about


class Placed(Sending, Protocol):
    """A connection, as this file sees it."""

    @property
    def share_key(self) -> str: ...

    @property
    def idle_since_s(self) -> float | None:
        """Since when it waits for a request; None while it has one, or something of an answer to send."""
        ...

    def close_idle(self) -> None: ...


class ConnectionPlaces:
    """Used on the node's loop. All doors of a node share it."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.connections
        self.connections: set[Placed] = set()  # all that are open, also those that were refused and are not closed yet
        self._shares = AddressShares(limits.connections, limits.address_percent)
        # Those that waited at the last look, the longest first: all (None), and those of each address.
        self._waiting: dict[str | None, deque[tuple[float, Placed]]] = {}
        self._looked_s = float("-inf")
        self.closed_idle = 0

    def admit(self, new: Placed, now_s: float) -> QuorateError | None:
        """Give the connection a place, which it holds until `leave`. Returns why it cannot have one."""
        self.connections.add(new)
        key = new.share_key
        self._shares.take(key)
        if self._shares.is_over(key) and not self._close_idle(new, key, now_s):
            return Overloaded(
                f"this address holds {count(self._shares.most, 'connection')} already, its share (http.address_percent)"
            )
        if len(self.connections) > self._most and not self._close_idle(new, None, now_s):
            return NotReady("this node holds as many connections as it can; ask another one")
        return None

    def leave(self, connection: Placed) -> None:
        self.connections.discard(connection)
        self._shares.give_back(connection.share_key)

    def _close_idle(self, new: Placed, of: str | None, now_s: float) -> bool:
        """Close the connection that has waited longest, of this address or of any. False: there is none."""
        if now_s - self._looked_s >= LOOK_AGAIN_S * self._most:
            self._looked_s = now_s
            self._look(new)
        waiting = self._waiting.get(of, ())
        while waiting:
            since_s, connection = waiting.popleft()
            if connection.idle_since_s == since_s:  # else it has had a request meanwhile, or is closed
                self.closed_idle += 1
                connection.close_idle()
                return True
        return False

    def _look(self, new: Placed) -> None:
        every = [(each.idle_since_s, each) for each in self.connections if each is not new]
        found = [(since_s, each) for since_s, each in every if since_s is not None]
        found.sort(key=lambda waiting: waiting[0])
        self._waiting = {None: deque(found)}
        for since_s, each in found:
            self._waiting.setdefault(each.share_key, deque()).append((since_s, each))
