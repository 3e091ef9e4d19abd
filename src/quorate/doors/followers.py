"""Who follows which poll, and how an event gets to very many of them: some in each turn of the loop.

A turn in which ten thousand are served would take a tenth of a second, and votes and Raft's heartbeats would wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from quorate.doors.event import Event
from quorate.doors.event_stream import Stream
from quorate.turns import REST

STREAMS_AT_ONCE, REST_S = 100, 0.002  # so many take the loop about a millisecond
MADE = 10  # to make an event takes as long as giving it to so many
REST_MAX_S = 0.1


class Followers:
    """Streams with tallies that have begun, in the order in which they came. Used on the loop."""

    def __init__(self) -> None:
        self._streams: dict[Stream, None] = {}
        self._of_all: dict[Stream, None] = {}  # those that follow all polls
        self._of: dict[str, dict[Stream, None]] = {}  # by poll, those that name it
        self.behind: set[Stream] = set()  # those with an event that is not sent

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams)

    def __contains__(self, stream: Stream) -> bool:
        return stream in self._streams

    @property
    def follow_all(self) -> bool:
        """Whether there is one of all polls."""
        return bool(self._of_all)

    def add(self, stream: Stream) -> None:
        self._streams[stream] = None
        if stream.polls is None:
            self._of_all[stream] = None
        for poll_id in stream.polls or ():
            self._of.setdefault(poll_id, {})[stream] = None

    def remove(self, stream: Stream) -> list[str]:
        """Returns the polls that no stream names any more."""
        del self._streams[stream]
        self._of_all.pop(stream, None)
        left = []
        for poll_id in stream.polls or ():
            del self._of[poll_id][stream]
            if not self._of[poll_id]:
                del self._of[poll_id]
                left.append(poll_id)
        return left

    def of(self, poll_id: str, only: set[Stream] | None = None) -> list[Stream]:
        """Those that follow the poll. With `only`, of these; and those that still wait with an older event of it, so
        that all of them hold the same bytes."""
        if only is None:
            return [*self._of.get(poll_id, ()), *self._of_all]
        return [*only, *(stream for stream in self.behind if stream.waits_with(poll_id) and stream not in only)]


class Giving:
    """How events get to their streams: so many in a turn of the loop, of however many polls. Then the loop rests twice
    as long as that took, which is more where others have the core."""

    def __init__(self) -> None:
        self._served, self._took_s = 0, 0.0  # since the last rest

    def note_made(self) -> None:
        """An event was made."""
        self._served += MADE

    async def give(self, event: Event, streams: Sequence[Stream], is_true: Callable[[], bool]) -> None:
        """Give it to all of them, until it `is_true` no more."""
        start = 0
        while start < len(streams):
            if self._served >= STREAMS_AT_ONCE:
                await self._rest()
            if not is_true():
                return
            some = streams[start : start + STREAMS_AT_ONCE - self._served]
            began_s = time.perf_counter()
            for stream in some:
                if not stream.closed:
                    stream.put(event)
            self._took_s += time.perf_counter() - began_s
            self._served += len(some)
            start += len(some)

    async def _rest(self) -> None:
        began_s = time.perf_counter()
        await asyncio.sleep(0)  # what was put is written at the end of a turn
        took_s = self._took_s + time.perf_counter() - began_s
        self._served, self._took_s = 0, 0.0
        await asyncio.sleep(min(max(REST_S, REST * took_s), REST_MAX_S))
