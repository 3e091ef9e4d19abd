"""The events for one client. What it cannot be sent at once waits until it takes it: of each poll only the newest.

A door says how an event is sent at once (`begin_sending`). That costs no task a turn, and all clients share the same
bytes; so most events of most clients go this way. Where the client has not read what came before, or the event is big,
it waits here, and the door's own task takes it in its time. While one waits, newer ones wait behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from quorate.doors.address_shares import AddressShares, share_key
from quorate.doors.caller_places import CallerPlaces
from quorate.doors.event import Event, as_server_sent
from quorate.security.caller import Caller

HEARTBEAT_S = 15.0  # then a comment is sent: it keeps proxies from closing the connection, and finds dead ones
HEARTBEAT = b":\n\n"
CUT_AFTER_S = 0.3  # a client whose token was revoked has this long to read the end of its stream
RECONNECT = b"retry: 1000\n\n"
WHOEVER = Caller("", "operate")  # follows a stream whose caller is not known


class Owner(Protocol):
    """Who puts events into streams, and counts them."""

    shares: AddressShares
    places: CallerPlaces

    @property
    def behind(self) -> set[Stream]:
        """Those with an event that is not sent."""
        ...

    def forget(self, stream: Stream) -> None: ...


class Stream:
    """The events for one client. The door and its owner may both call `close`, more than once."""

    def __init__(
        self, events: Owner, polls: frozenset[str] | None, caller: Caller | None = None, *, only_polls: bool = False
    ) -> None:
        self.polls = polls  # None: all polls
        self.only_polls = only_polls  # it is told which polls change, and gets no tally
        self.caller = caller  # who follows it
        self._cut: Callable[[], object] | None = None  # while it is sent: breaks the connection
        self._send_now: Callable[[Event], bool] | None = None  # while it is sent, where the door can do that
        self._sent_s = 0.0  # when an event was last sent at once
        self._events = events
        self._pending: dict[str, Event] = {}  # poll id -> its newest event, which is not sent yet
        self._version = 0
        self._wake = asyncio.Event()
        self._begun = False
        self.closed = False
        self.share_key = share_key(caller.address if caller is not None else "")
        self.beginning: asyncio.Task[None] | None = None  # it waits until this node can serve the stream

    def waits_with(self, poll_id: str) -> bool:
        """Whether an event of this poll is not sent yet."""
        return poll_id in self._pending

    def put(self, event: Event) -> None:
        if self._begun and not self._pending and event.version >= self._version and self._is_sent_now(event):
            self._version = event.version
            return
        self._pending[event.poll_id] = event
        self._version = max(self._version, event.version)  # a big poll takes a while, and small ones are newer
        self._events.behind.add(self)
        self._wake.set()

    def _is_sent_now(self, event: Event) -> bool:
        if self._send_now is None or self.closed or not self._send_now(event):
            return False
        self._sent_s = asyncio.get_running_loop().time()
        return True

    async def next(self) -> bytes | None:
        """Wait for the next bytes to send. If nothing happens, they are a heartbeat. None: the stream has ended."""
        await self.ready()
        return self.take()

    async def ready(self) -> int:
        """Wait until there is something to send, or for a heartbeat. Returns how many bytes of events that is, about.

        Nothing is put together yet: until it is taken, newer events take the place of those that wait.
        """
        if self._begun and not self._pending and not self.closed:
            await self._wait_for_news(asyncio.get_running_loop())
        self._wake.clear()
        return self.size

    async def _wait_for_news(self, loop: asyncio.AbstractEventLoop) -> None:
        """Or until nothing was sent for the time of a heartbeat."""
        quiet_since_s = loop.time()
        while not self._wake.is_set() and loop.time() < quiet_since_s + HEARTBEAT_S:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(quiet_since_s + HEARTBEAT_S):
                    await self._wake.wait()
            quiet_since_s = max(quiet_since_s, self._sent_s)

    @property
    def size(self) -> int:
        """The bytes of the events that are not sent."""
        return sum(len(event.document) for event in self._pending.values())

    def take(self) -> bytes | None:
        """What is there to send now: see `next`."""
        parts = self.take_parts()
        return None if parts is None else b"".join(parts)

    def take_parts(self) -> list[bytes] | None:
        """The same in parts, of which many streams may hold the same ones."""
        if not self._begun:
            self._begun = True
            return [RECONNECT]
        if self.closed:
            return None
        if not self._pending:
            return [HEARTBEAT]
        *others, last = [event.framed(as_server_sent) for event in self._taken()]
        return [*others, b"id: %d\n" % self._version, last]

    def take_events(self) -> list[Event] | None:
        """What is there to send now, for a door that frames events in its own way. None: the stream has ended."""
        self._begun = True
        if self.closed:
            return None
        return self._taken()

    def _taken(self) -> list[Event]:
        events = [*self._pending.values()]
        self._pending.clear()
        self._events.behind.discard(self)
        return events

    def begin_sending(self, cut: Callable[[], object], send_now: Callable[[Event], bool] | None = None) -> None:
        """Until `end_sending`. `cut` breaks the connection over which it is sent. `send_now` writes an event if nothing
        stands in the way, and says whether it did; what was taken before must be written by then."""
        self._cut, self._send_now = cut, send_now

    def end_sending(self) -> None:
        self._cut = self._send_now = None
        self.close()

    def revoke(self) -> None:
        """End it, also for a client that reads nothing: it would not get to the end that waits behind what it has."""
        self.close()
        asyncio.get_running_loop().call_later(CUT_AFTER_S, self._cut_off)

    def _cut_off(self) -> None:
        if self._cut is not None:
            self._cut()

    def close(self) -> None:
        if not self.closed:
            self._events.shares.give_back(self.share_key)
            self._events.places.give_back(self.caller or WHOEVER)
        self.closed = True
        self._events.behind.discard(self)
        if self.beginning is not None:
            self.beginning.cancel()
        self._wake.set()
        self._events.forget(self)
