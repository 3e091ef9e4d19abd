"""SUBSCRIBE poll:ID: the tally of a poll as it changes, as its own message each time; slow clients get the newest.

The messages are the events of `GET /events`. The first one has the present tally.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from quorate.doors.bounds import check_poll
from quorate.doors.event import Event, Frame
from quorate.doors.event_stream import Stream
from quorate.doors.unsent import BIG_BYTES
from quorate.errors import Invalid
from quorate.resp.door import Door
from quorate.resp.encoding import Push, Raw, Value, encode
from quorate.resp.keys import key_of, read_key
from quorate.resp.parsing import Command
from quorate.security.caller import Caller

READY_S = 2.0  # how long a node that has just started may take to know all polls
LOOK_AGAIN_S, LOOK_AGAIN_MAX_S = 0.02, 0.25  # while a message may not be sent yet
CHANNELS_MAX = 100


class TallySubscription:
    """Of one connection. `may_send` says whether a message may be written now, `cut` breaks the connection."""

    def __init__(
        self, door: Door, may_send: Callable[[], bool], write: Callable[[bytes], None], cut: Callable[[], None]
    ) -> None:
        self._door = door
        self._may_send, self._write, self._cut = may_send, write, cut
        self.polls: list[str] = []  # in the order in which they were subscribed to
        self._stream: Stream | None = None
        self._sending: asyncio.Task[None] | None = None

    async def add(self, caller: Caller, command: Command, protocol: int) -> Value:
        polls = [_poll_of(key) for key in command[1:]]
        for poll_id in polls:
            check_poll(caller, poll_id)
        await self._door.reads.wait_until_known(0, READY_S)
        for poll_id in polls:
            self._door.reads.check_poll(poll_id)
        after = list(dict.fromkeys((*self.polls, *polls)))
        if len(after) > CHANNELS_MAX:
            raise Invalid(f"a connection may subscribe to {CHANNELS_MAX} polls; take another connection for more")
        self._follow(caller, after, protocol)
        return _told(b"subscribe", [(poll_id, after.index(poll_id) + 1) for poll_id in polls], protocol)

    async def remove(self, caller: Caller, command: Command, protocol: int) -> Value:
        """Without arguments, all."""
        gone = [_poll_of(key) for key in command[1:]] or [*self.polls]
        told: list[tuple[str | None, int]] = []
        after = [*self.polls]
        for poll_id in gone:
            after = [each for each in after if each != poll_id]
            told.append((poll_id, len(after)))
        if after != self.polls:
            self._follow(caller, after, protocol)
        return _told(b"unsubscribe", told or [(None, 0)], protocol)

    def close(self) -> None:
        self.polls = []
        if self._sending is not None:
            self._sending.cancel()
        if self._stream is not None:
            self._stream.end_sending()
        self._sending = self._stream = None

    def _follow(self, caller: Caller, polls: list[str], protocol: int) -> None:
        stream = self._door.events.open(polls, caller=caller) if polls else None
        self.close()
        self.polls = polls
        if stream is not None:
            frame = _message_3 if protocol == 3 else _message_2
            stream.begin_sending(self._cut, partial(self._send_now, frame))
            self._stream = stream
            self._sending = asyncio.get_running_loop().create_task(self._send(stream, frame))

    def _send_now(self, frame: Frame, event: Event) -> bool:
        if len(event.document) > BIG_BYTES or not self._may_send():
            return False
        self._write(event.framed(frame))
        return True

    async def _send(self, stream: Stream, frame: Frame) -> None:
        """Until a message may be sent, newer tallies take the place of older ones."""
        pause_s = LOOK_AGAIN_S
        while True:
            await stream.ready()
            if stream.closed and self._may_send():
                self._cut()  # the token was revoked, or the node stops
                return
            if await self._is_sent(stream, frame):
                pause_s = LOOK_AGAIN_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LOOK_AGAIN_MAX_S)

    async def _is_sent(self, stream: Stream, frame: Frame) -> bool:
        """Send what there is, if it may be sent now."""
        if not self._may_send():
            return False
        if stream.size <= BIG_BYTES:
            self._take(stream, frame)
            return True
        async with self._door.turns:  # hundreds of clients may have the same news
            if not self._may_send() or not self._has_room_for(stream.size):
                return False
            self._take(stream, frame)
        return True

    def _take(self, stream: Stream, frame: Frame) -> None:
        if events := stream.take_events():
            self._write(b"".join([event.framed(frame) for event in events]))

    def _has_room_for(self, size: int) -> bool:
        return self._door.unsent.take(size, asyncio.get_running_loop().time())


def _poll_of(key: bytes) -> str:
    poll_id, linearizable = read_key(key)
    if poll_id is None or linearizable:
        raise Invalid(f"there is no channel {key[:40].decode('utf-8', 'replace')!r}; channels are poll:ID")
    return poll_id


def _told(word: bytes, channels: Sequence[tuple[str | None, int]], protocol: int) -> Raw:
    pushes = [Push([word, None if poll is None else key_of(poll), number]) for poll, number in channels]
    return Raw(b"".join(encode(push, protocol) for push in pushes))


def _message_2(event: Event) -> bytes:
    return _message(event, 2)


def _message_3(event: Event) -> bytes:
    return _message(event, 3)


def _message(event: Event, protocol: int) -> bytes:
    return encode(Push([b"message", key_of(event.poll_id), event.document]), protocol)
