"""One connection: what comes, what goes, and the bounds on both. Its commands are run by `running.py`.

Replies that are ready together are one write. While a command waits, what comes behind it is held, and beyond a bound
it is left in the socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import cast

from quorate.doors.address_shares import share_key
from quorate.doors.reading_pace import ReadingPace
from quorate.errors import QuorateError
from quorate.resp.door import Door
from quorate.resp.encoding import failure
from quorate.resp.failures import failure_of
from quorate.resp.inline import HttpSpoken
from quorate.resp.parsing import RequestParser
from quorate.resp.running import VOTES_AT_ONCE, Runner
from quorate.resp.session import Session
from quorate.resp.subscribing import TallySubscription

SMALL_BYTES = 4 * 1024  # that came; more is parsed when there is time
FEW_BYTES = 8 * 1024  # a connection that holds no more is not broken off for it
HELD_BYTES = 256 * 1024  # that came while a command waits; then nothing more is read
UNREAD_BYTES = 64 * 1024  # of replies; a client that leaves more unread has no further command run
COMMANDS_AT_ONCE = 200  # then the connection stands in line with others


class RespConnection(asyncio.Protocol):
    """It is one of `connections` while it is open. `on_lost` is called when it is closed."""

    transport: asyncio.Transport

    def __init__(self, door: Door, connections: set[RespConnection], on_lost: Callable[[], None]) -> None:
        self.door = door
        self._connections, self._on_lost = connections, on_lost
        self.loop = asyncio.get_running_loop()
        self.share_key = ""
        self.is_lost = False
        self._parser = RequestParser()
        subscription = TallySubscription(door, self._may_push, self._push, self.break_off)
        self.session = Session(door, subscription)
        self._runner = Runner(self.session, self._has_room_for, self._pump)
        self._pumping = False
        self._again = False  # it goes on in the next turn of the loop
        self._rests = False  # all that came was answered, and what comes next may be run at once
        self._has_ended = False  # the client sends nothing more
        self._reading_paused = False
        self._writing_paused = False
        self._idle_since_s = self.loop.time()
        self._reading = ReadingPace()
        self._big_bytes = 0
        self._charged = 0  # for what it holds, in the budget of all

    # ---- life -------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=UNREAD_BYTES)
        peer = transport.get_extra_info("peername")
        self.session.address = peer[0] if peer else ""
        self.share_key = share_key(self.session.address)
        self._connections.add(self)
        self.door.counts.connections += 1
        if (why := self.door.places.admit(self, self._idle_since_s)) is not None:
            self.door.counts.refused_connections += 1
            self.refuse(why)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self.door.counts.connections -= 1
        self.door.places.leave(self)
        self._connections.discard(self)
        self._runner.left()
        self._parser = RequestParser()  # only the collector of garbage frees this connection, and it comes seldom
        self.session.end()
        self.session.subscription.close()
        self._account()
        self._on_lost()

    def refuse(self, error: QuorateError) -> None:
        """Say why, and close."""
        told = failure_of(error)
        self.transport.write(failure(told.code, told.text))
        self.transport.close()

    def shutdown(self) -> None:
        """Answer what is under way, and close."""
        self.session.closes = True
        self._pump()

    def cut(self) -> None:
        """Close at once, and give up what waits."""
        self._runner.cut()
        self.transport.abort()

    # ---- places and pace --------------------------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Nothing more can be run now."""
        return self._runner.working is not None or self._again or self._writing_paused

    @property
    def is_busy(self) -> bool:
        return self._runner.working is not None or self._again or bool(self._runner.commands)

    @property
    def idle_since_s(self) -> float | None:
        if self.transport.is_closing() or self.transport.get_write_buffer_size() or self.is_busy:
            return None
        return None if self.session.subscription.polls else self._idle_since_s

    def close_idle(self) -> None:
        self.transport.close()

    @property
    def unsent(self) -> int:
        left = self.transport.get_write_buffer_size()
        return max(left, self._big_bytes) if left else 0

    @property
    def unread_since_s(self) -> float | None:
        return self._reading.unread_since_s

    def break_off(self) -> None:
        self.transport.abort()

    def sweep(self, now_s: float) -> None:
        """Close it if something takes too long. The server calls this once a second."""
        limits = self.door.limits
        if self._parser.waits and not self.is_busy and now_s - self._idle_since_s > limits.body_timeout_s:
            self.transport.abort()  # a command has begun and does not come to its end
        if self._reading.is_too_slow(self.transport.get_write_buffer_size(), self.unsent, limits, now_s):
            self.transport.abort()

    def pause_writing(self) -> None:
        self._writing_paused, self._rests = True, False

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._reading.unread_since_s = None
        self._big_bytes = self.transport.get_write_buffer_size()
        self._pump()

    # ---- what comes -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._rests and self._cast_alike(data):
            return
        self._rests = False
        if not self._parser.waits and not self.is_waiting:
            self._idle_since_s = self.loop.time()
        self._parser.feed(data)
        if not self.is_waiting:
            self._pump()
        self._account()
        if self._parser.left_bytes > HELD_BYTES and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends nothing more. It may still read, so it is answered first; not over TLS, which ends both."""
        self._has_ended, self._rests = True, False
        if not self.is_waiting:
            self._pump()
        return self.transport.get_extra_info("sslcontext") is None

    def _cast_alike(self, data: bytes) -> bool:
        """Cast votes that are alike to the last ones, if nothing else has come: as most clients send them."""
        form, runner = self.session.form, self._runner
        if form is None or runner.is_special or runner.is_in_vain or not data.startswith(form.head):
            return False
        votes, end = form.take(data, 0, VOTES_AT_ONCE)
        if end < len(data):
            return False
        self._rests = False
        runner.cast_alike(votes)
        if runner.working is None:
            self._pump()  # they were refused
        return True

    @property
    def _queued_bytes(self) -> int:
        """Of a transaction that is not over."""
        return self.session.queued_bytes if self.session.queued is not None or self._runner.is_in_array else 0

    def _account(self) -> None:
        """Charge what is held now. If the budget is used up, who holds much is broken off: it was not run."""
        held = 0 if self.is_lost else self._parser.held_bytes + self._queued_bytes
        self.door.waiting.held += held - self._charged
        self._charged = held
        if held > FEW_BYTES and self.door.waiting.is_used_up:
            self.transport.abort()

    def _take(self) -> None:
        """Parse some of what came. Votes are not charged for it."""
        began_s = time.perf_counter()
        self._runner.commands.extend(self._parser.take(VOTES_AT_ONCE, self.session.form))
        if not self._runner.has_votes:
            self.door.line.charge(time.perf_counter() - began_s)
        if self._runner.commands:
            self._idle_since_s = self.loop.time()  # the next one may have begun
        if self._reading_paused and self._parser.left_bytes <= HELD_BYTES and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    # ---- running ----------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Run commands until one of them waits, or there are none."""
        if self._pumping:
            return  # a command was over at once
        if self._runner.commands or self._parser.left_bytes:
            self._pumping = True
            try:
                self._run()
            finally:
                self._pumping = False
        self._flush()
        if self._runner.working is None:
            if self.session.closes:
                self._runner.commands.clear()
                self.transport.close()
            elif self._parser.failed is not None and not self.is_busy:
                self._end_by(self._parser.failed)
            elif self._has_ended and not self.is_busy and not self._parser.left_bytes:
                self.transport.close()

    def _run(self) -> None:
        runner, line, left = self._runner, self.door.line, COMMANDS_AT_ONCE
        while not (self.is_waiting or self.is_lost or self.session.closes):
            if not runner.commands and (self._parser.left_bytes <= SMALL_BYTES or line.has_time):
                self._take()
                if not runner.commands and not self._parser.left_bytes:
                    break
            had_none = left == COMMANDS_AT_ONCE
            may_begin = line.has_time or (had_none and runner.has_votes)
            if not left or not runner.commands or runner.reply_bytes > UNREAD_BYTES or not may_begin:
                has_much = self._parser.waits or not had_none
                self._again = True
                self.loop.call_soon(partial(line.join, self._go_on, has_much=has_much))
                break
            left -= 1
            runner.next()

    def _go_on(self) -> None:
        self._again = False
        self._pump()

    def _end_by(self, failed: Exception) -> None:
        self.door.counts.protocol_errors += 1
        if not isinstance(failed, HttpSpoken) and not self.transport.is_closing():
            self.transport.write(failure("ERR", f"Protocol error: {failed}"))
        self.transport.close()

    def _flush(self) -> None:
        runner = self._runner
        if runner.replies:
            if not self.is_lost and not self.transport.is_closing():
                self.transport.write(b"".join(runner.replies))
            runner.replies.clear()
            runner.reply_bytes = 0
        if self._charged:
            self._account()
        if not (runner.working or self._again or runner.commands or self._parser.waits):
            self._idle_since_s = self.loop.time()
            self._rests = not (self._writing_paused or self._parser.left_bytes or self.session.closes)

    def _may_push(self) -> bool:
        return not (self._writing_paused or self._runner.is_in_array)

    def _push(self, data: bytes) -> None:
        self._big_bytes = len(data)
        self.transport.write(data)

    def _has_room_for(self, size: int) -> bool:
        has_room = self.door.unsent.take(size, self.loop.time())
        self._big_bytes = size if has_room else self._big_bytes
        return has_room
