"""One connection: takes commands apart, runs them one after the other, and sends the replies in their order.

While a command waits for its outcome, what comes behind it waits too. Votes that stand next to each other are cast
together: whatever a client sends in one go is one round to the majority, and its replies are one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from quorate.crash_points import crash_point
from quorate.doors.address_shares import share_key
from quorate.doors.bounds import check_votes
from quorate.doors.by_hand import ByHand
from quorate.doors.rates import take_votes
from quorate.doors.reading_pace import ReadingPace
from quorate.doors.unsent import BIG_BYTES
from quorate.errors import Overloaded, QuorateError
from quorate.resp.commands import BY_BYTES, XADD
from quorate.resp.door import Door
from quorate.resp.encoding import OK, QUEUED, Failure, Value, encode, failure
from quorate.resp.failures import failure_of
from quorate.resp.parsing import Command, HttpSpoken, RequestParser
from quorate.resp.session import QUEUED_MAX, Session
from quorate.resp.votes import counted, read_vote, rejected
from quorate.vote import Tallied, Vote

HELD_BYTES = 256 * 1024  # that came while a command waits; then nothing more is read
UNREAD_BYTES = 64 * 1024  # of replies; a client that leaves more unread has no further command run
COMMANDS_AT_ONCE = 200  # before other connections have their turn
VOTES_AT_ONCE = 500  # of those that stand next to each other, outside a transaction
VOTE = XADD.encode()
XADD_SPEC = BY_BYTES[VOTE]
NO_SUCH = "unknown command {}; COMMAND LIST tells those that this node has"

log = logging.getLogger(__name__)


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
        self._commands: deque[Command] = deque()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._replies: list[bytes] = []
        self._working: ByHand | asyncio.Task[None] | None = None  # the command that waits for its outcome
        self._again = False  # it goes on in the next turn of the loop
        self._writing_paused = False
        self._stops = False
        self._in_exec = 0  # commands of a transaction that are still to be run
        self._idle_since_s = self.loop.time()
        self._reading = ReadingPace()
        self._big_bytes = 0

    # ---- life -------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=UNREAD_BYTES)
        peer = transport.get_extra_info("peername")
        self.session = Session(self.door, peer[0] if peer else "")
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
        self._commands.clear()
        self._held.clear()
        self._on_lost()
        if isinstance(self._working, asyncio.Task):
            self._working.cancel()  # a read; votes go on, they may be on their way

    def refuse(self, error: QuorateError) -> None:
        """Say why, and close."""
        told = failure_of(error)
        self.transport.write(failure(told.code, told.text))
        self.transport.close()

    def shutdown(self) -> None:
        """Answer what is under way, and close."""
        self._stops = True
        self._commands.clear()
        if self._working is None:
            self._flush()
            self.transport.close()

    def cut(self) -> None:
        """Close at once, and give up what waits."""
        if isinstance(self._working, ByHand):
            self._working.cut()
        self.transport.abort()

    # ---- places and pace --------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        return self._working is not None or self._again or bool(self._commands)

    @property
    def idle_since_s(self) -> float | None:
        if self.transport.is_closing() or self.transport.get_write_buffer_size() or self.is_busy:
            return None
        return self._idle_since_s

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
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._reading.unread_since_s = None
        self._big_bytes = self.transport.get_write_buffer_size()
        self._pump()

    # ---- what comes -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._working is not None or self._again or self._writing_paused:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes > HELD_BYTES:
                self.transport.pause_reading()
            return
        if not self._parser.waits:
            self._idle_since_s = self.loop.time()
        self._commands.extend(self._parser.take(data))
        self._pump()

    def _take_held(self) -> bool:
        """Parse what came meanwhile. False: nothing did."""
        if not self._held:
            return False
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        was_paused = self._held_bytes > HELD_BYTES
        self._held.clear()
        self._held_bytes = 0
        self._commands.extend(self._parser.take(data))
        if was_paused and not self.transport.is_closing():
            self.transport.resume_reading()
        return True

    # ---- running ----------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Run commands until one of them waits, or there are none."""
        left = COMMANDS_AT_ONCE
        while self._working is None and not self._again and not self._writing_paused and not self.is_lost:
            if not self._commands and not self._take_held():
                break
            if not self._commands:
                continue
            if not left:
                self._again = True
                self.loop.call_soon(self._go_on)
                break
            left -= 1
            self._next()
            if self.session.closes or self._stops:
                self._commands.clear()
                self._held.clear()
                self._flush()
                self.transport.close()
                return
        self._flush()
        if self._parser.failed is not None and not self.is_busy:
            self._end_by(self._parser.failed)

    def _go_on(self) -> None:
        self._again = False
        self._pump()

    def _end_by(self, failed: Exception) -> None:
        self.door.counts.protocol_errors += 1
        if not isinstance(failed, HttpSpoken) and not self.transport.is_closing():
            self.transport.write(failure("ERR", f"Protocol error: {failed}"))
        self.transport.close()

    def _next(self) -> None:
        command = self._commands[0]
        name = command[0].upper()
        if self.session.queued is not None:
            self._commands.popleft()
            self._in_transaction(name, command)
        elif name == VOTE:
            self._votes()
        else:
            self._commands.popleft()
            self._in_exec = max(0, self._in_exec - 1)
            self._command(name, command)

    def _command(self, name: bytes, command: Command) -> None:
        if name == b"MULTI" and len(command) == 1:
            self.session.begin()
            self._replies.append(OK)
            return
        spec = BY_BYTES.get(name)
        if spec is None or not spec.takes(command):
            self._reply(_no_such(command))
            return
        self.door.counts.commands[spec.name] += 1
        try:
            answer = spec.run(self.session, self.session.admit(spec.role), command)
        except QuorateError as error:
            self._fail(error)
            return
        if asyncio.iscoroutine(answer):
            self._working = self.loop.create_task(self._wait_for(answer))
        else:
            self._reply(cast(Value, answer))

    async def _wait_for(self, answer: Coroutine[Any, Any, Value]) -> None:
        try:
            self._reply(await answer)
        except QuorateError as error:
            self._fail(error)
        except Exception:
            log.exception("a command failed")
            self._reply(Failure("ERR", "something failed inside this node; its log says what"))
        self._working = None
        self._pump()

    # ---- transactions -----------------------------------------------------------------------------------------------

    def _in_transaction(self, name: bytes, command: Command) -> None:
        session = self.session
        if name == b"EXEC":
            self._exec()
        elif name == b"DISCARD":
            session.end()
            self._replies.append(OK)
        elif name == b"RESET":
            session.reset()
            self._replies.append(b"+RESET\r\n")
        else:
            spec = BY_BYTES.get(name)
            try:
                if spec is None or not spec.takes(command):
                    session.is_spoilt = True
                    self._reply(_no_such(command))
                elif not spec.in_transaction:
                    session.is_spoilt = True
                    self._reply(Failure("ERR", f"{spec.name} is not allowed in transactions"))
                else:
                    session.queue(command)
                    self._replies.append(QUEUED)
            except QuorateError as error:
                self._fail(error)

    def _exec(self) -> None:
        """The replies of the queued commands, one after the other, are the array that answers EXEC."""
        is_spoilt, queued = self.session.is_spoilt, self.session.end()
        if is_spoilt:
            self._reply(Failure("EXECABORT", "Transaction discarded because of previous errors."))
            return
        self._replies.append(b"*%d\r\n" % len(queued))
        self._in_exec = len(queued)
        self._commands.extendleft(reversed(queued))

    # ---- votes ------------------------------------------------------------------------------------------------------

    def _votes(self) -> None:
        """Cast the votes that stand next to each other."""
        at_most = min(self._in_exec, QUEUED_MAX) or VOTES_AT_ONCE
        commands: list[Command] = []
        while self._commands and len(commands) < at_most and self._commands[0][0].upper() == VOTE:
            commands.append(self._commands.popleft())
        self._in_exec = max(0, self._in_exec - len(commands))
        self.door.counts.commands[XADD] += len(commands)
        replies: list[bytes | None] = [None] * len(commands)  # None: of a vote that is cast
        votes: list[Vote] = []
        try:
            caller = self.session.admit(XADD_SPEC.role)
            for place, command in enumerate(commands):
                try:
                    if len(command) < -XADD_SPEC.arity:
                        replies[place] = encode(_no_such(command), 2)
                        continue
                    vote = read_vote(command, allow_unkeyed=self.door.allow_unkeyed)
                    check_votes(caller, (vote,))
                    votes.append(vote)
                except QuorateError as error:
                    replies[place] = self._failure(error)
            take_votes(caller, len(commands))
        except QuorateError as error:
            told = self._failure(error)
            self._replies.extend(told if reply is None else reply for reply in replies)
            return
        if not votes:
            self._replies.extend(cast("list[bytes]", replies))
            return
        self._working = cast_ = _Cast(self, replies)
        cast_.run(self.door.submitter.cast(votes, timeout_s=self.door.timeout_s, share=caller.share))

    def counted(self, replies: Sequence[bytes | None], tallied: Tallied) -> None:
        """What became of votes that were cast together."""
        crash_point("answer-before-send")
        self._working = None
        if not tallied.rejected:
            for place, reply in enumerate(replies):
                self._replies.append(counted(tallied.version, place) if reply is None else reply)
        else:
            self._some_rejected(replies, tallied)
        self._pump()

    def _some_rejected(self, replies: Sequence[bytes | None], tallied: Tallied) -> None:
        by_index = {rejection.index: rejected(rejection) for rejection in tallied.rejected}
        index = 0
        for place, reply in enumerate(replies):
            if reply is None:
                reply = by_index.get(index) or counted(tallied.version, place)
                index += 1
            self._replies.append(reply)

    def not_counted(self, replies: Sequence[bytes | None], error: BaseException) -> None:
        """None of the votes was counted, or it is not known."""
        self._working = None
        if isinstance(error, QuorateError) and error.definite:
            told = self._failure(error)
            self._replies.extend(told if reply is None else reply for reply in replies)
            self._pump()
        else:
            self._close_without_answer(error)

    # ---- replies ----------------------------------------------------------------------------------------------------

    def _reply(self, value: Value) -> None:
        if isinstance(value, Failure):
            self.door.counts.failures[value.code] += 1
        data = encode(value, self.session.protocol)
        if len(data) > BIG_BYTES and not self._has_room_for(len(data)):
            data = self._failure(Overloaded("too many replies wait to be read at this node; try again in a moment"))
        self._replies.append(data)

    def _has_room_for(self, size: int) -> bool:
        has_room = self.door.unsent.take(size, self.loop.time())
        self._big_bytes = size if has_room else self._big_bytes
        return has_room

    def _fail(self, error: QuorateError) -> None:
        if error.definite:
            self._replies.append(self._failure(error))
        else:
            self._close_without_answer(error)

    def _failure(self, error: QuorateError) -> bytes:
        told = failure_of(error)
        self.door.counts.failures[told.code] += 1
        return failure(told.code, told.text)

    def _close_without_answer(self, error: BaseException) -> None:
        """The outcome is not known. The client tries again, and counts once by its id."""
        if not isinstance(error, QuorateError):
            log.error("votes failed", exc_info=error)
        self.door.counts.unknown_outcomes += 1
        self._flush()
        self._commands.clear()
        self.transport.close()

    def _flush(self) -> None:
        if self._replies:
            if not self.is_lost and not self.transport.is_closing():
                self.transport.write(b"".join(self._replies))
            self._replies.clear()
        if not self.is_busy:
            self._idle_since_s = self.loop.time()


class _Cast(ByHand):
    """Votes that are on their way."""

    __slots__ = ("_connection", "_replies")

    def __init__(self, connection: RespConnection, replies: Sequence[bytes | None]) -> None:
        super().__init__()
        self._connection, self._replies = connection, replies

    def ended(self, value: Any) -> None:
        self._connection.counted(self._replies, value)

    def failed(self, error: BaseException) -> None:
        self._connection.not_counted(self._replies, error)


def _no_such(command: Command) -> Failure:
    name = command[0][:64].decode("utf-8", "replace")
    if command[0].upper() in BY_BYTES:
        return Failure("ERR", f"wrong number of arguments for '{name.lower()}' command")
    return Failure("ERR", NO_SUCH.format(repr(name)))
