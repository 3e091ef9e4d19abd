"""GET /events: tallies as they change, over server-sent events, from this node's own state.

Changes are coalesced: at most one event a poll every tenth of a second, always the whole tally at one version, so a
client that misses events misses nothing. A slow client holds one event a poll and gets the newest. The event's id is
the version: a client that comes back with `Last-Event-ID`, here or at another node, never sees an older tally.

In a group of events only the last carries the id, so that a connection cut within the group is not taken for the whole.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from quorate.cluster.fsm import Applied
from quorate.cluster.read import chunks
from quorate.cluster.replica import Replica
from quorate.errors import NotReady
from quorate.http.reply import encode

COALESCE_S = 0.1
HEARTBEAT_S = 15.0  # a comment, so that proxies and dead connections show themselves
HEARTBEAT = b":\n\n"
RECONNECT = b"retry: 1000\n\n"
OPTIONS_PER_ROUND = 20_000  # the loop also carries heartbeats: a bigger change is told in several rounds


class Stream:
    """One client. `next` gives what to send; `close` may come from either side, more than once."""

    def __init__(self, events: Events, polls: frozenset[str] | None) -> None:
        self.polls = polls  # None: all of them
        self._events = events
        self._pending: dict[str, bytes] = {}  # poll id -> its newest event, not yet sent
        self._version = 0
        self._wake = asyncio.Event()
        self._greeted = False
        self.closed = False

    def put(self, poll_id: str, event: bytes, version: int) -> None:
        self._pending[poll_id] = event
        self._version = version
        self._wake.set()

    async def next(self) -> bytes | None:
        """The next bytes to send, a heartbeat if nothing happens; None at the end."""
        if not self._greeted:
            self._greeted = True
            return RECONNECT
        if not self._pending and not self.closed:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._wake.wait()
            except TimeoutError:
                return HEARTBEAT
        self._wake.clear()
        if self.closed:
            return None
        *others, last = self._pending.values()
        self._pending.clear()
        return b"".join([*others, b"id: %d\n" % self._version, last])

    def close(self) -> None:
        self.closed = True
        self._wake.set()
        self._events.forget(self)


class Events:
    """Watches the replica and tells the streams. Lives on the loop."""

    def __init__(self, replica: Replica, *, streams_max: int = 1_000) -> None:
        self._replica = replica
        self._streams_max = streams_max
        self._streams: set[Stream] = set()
        self._options: dict[str, frozenset[str]] = {}  # of each poll that a stream names
        self._followers: Counter[str] = Counter()  # poll id -> how many streams name it
        self._changed_options: set[str] = set()
        self._changed_polls: dict[str, set[Stream] | None] = {}  # poll id -> whom to tell; None: all who follow it
        self._closed = False
        self._planned: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None
        replica.on_applied(self._on_applied)

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, polls: Sequence[str], *, after: int = 0) -> Stream:
        """A stream of the named polls, or of all. It begins with each one's tally now (of all: not the archived).

        A client that saw version `after` of one poll and comes back before anything happened is told nothing twice.
        """
        if self._closed:
            raise NotReady("this node is stopping; ask another one")
        if len(self._streams) >= self._streams_max:
            raise NotReady(f"{self._streams_max} clients follow events on this node already; ask another node")
        stream = Stream(self, frozenset(polls) or None)
        self._streams.add(stream)
        self._followers.update(stream.polls or ())
        state = self._replica.state
        for poll_id in polls:
            poll = state.poll(poll_id)
            self._options[poll_id] = frozenset(poll.options if poll else ())
        if len(polls) != 1 or after != state.version:
            for poll_id in polls or [poll.id for poll in state.polls() if poll.state != "archived"]:
                whom = self._changed_polls.setdefault(poll_id, set())
                if whom is not None:
                    whom.add(stream)
            self._plan(0.0)
        return stream

    def forget(self, stream: Stream) -> None:
        if stream not in self._streams:  # closed before: by the other side, or by `close`
            return
        self._streams.remove(stream)
        for poll_id in stream.polls or ():
            self._followers[poll_id] -= 1
            if not self._followers[poll_id]:
                del self._followers[poll_id], self._options[poll_id]

    def close(self) -> None:
        """End every stream and open no more: the node stops. Idempotent."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        if self._telling is not None:
            self._telling.cancel()

    def _on_applied(self, applied: Applied) -> None:
        if self._streams:
            self._changed_options.update(applied.options)
            self._changed_polls.update(dict.fromkeys(applied.polls))
            self._plan(COALESCE_S)

    def _plan(self, delay_s: float) -> None:
        if self._planned is None and self._telling is None:
            self._planned = asyncio.get_running_loop().call_later(delay_s, self._begin)

    def _begin(self) -> None:
        self._planned = None
        self._telling = asyncio.ensure_future(self._tell())
        self._telling.add_done_callback(self._told)

    def _told(self, done: asyncio.Task[None]) -> None:
        self._telling = None
        if done.cancelled():
            return
        if self._changed_polls or self._changed_options:
            self._plan(COALESCE_S)
        done.result()  # a mistake is the loop's to log

    async def _tell(self) -> None:
        self._spread()
        room = OPTIONS_PER_ROUND
        while self._changed_polls and room > 0:
            poll_id = next(iter(self._changed_polls))  # the one that waits longest
            room -= await self._tell_poll(poll_id, self._changed_polls.pop(poll_id))

    def _spread(self) -> None:
        """From options that changed to the polls, of those followed, that have them."""
        changed, self._changed_options = self._changed_options, set()
        if any(stream.polls is None for stream in self._streams):
            for option in changed:
                self._changed_polls.update(dict.fromkeys(self._replica.state.polls_with(option)))
            return
        for poll_id, options in self._options.items():
            if not options.isdisjoint(changed):
                self._changed_polls[poll_id] = None

    async def _tell_poll(self, poll_id: str, whom: set[Stream] | None) -> int:
        """Put a poll's tally to those who are to be told; how many options that took."""
        followers = [s for s in whom or self._streams if not s.closed and (s.polls is None or poll_id in s.polls)]
        state = self._replica.state
        poll, version = state.poll(poll_id), state.version
        if not followers or poll is None:
            return 0
        results = await chunks.results_of(state, poll)
        tally = {"id": poll_id, "title": poll.title, "state": poll.state, "results": results}
        document = encode({**tally, "total": sum(results.values()), "version": version})
        event = b"event: results\ndata: %s\n\n" % document
        for stream in followers:
            stream.put(poll_id, event, version)
        return len(results)
