"""Calls between nodes: a request to a peer and its answer, over the connection that carries Raft's messages too.

A call always ends: in the answer, in an error that says it surely was not sent, or in `OutcomeUnknown`.

Calls are counted for each kind alone, and those that are served for each peer too. So readers who wait keep no votes
from passing, and the readers of one node no readers of another. What one peer has open is bounded in bytes, too, and so
are the lines that its calls write into the log.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from typing import Annotated, Any

import msgspec

from quorate import errors
from quorate.cluster.raft.line_limit import LineLimit
from quorate.cluster.raft.messages import MALFORMED
from quorate.cluster.raft.transport.connection import PeerConnection
from quorate.cluster.raft.transport.streams import CALLS, MESSAGE_BYTES_MAX
from quorate.cluster.replica import PeerHandler
from quorate.errors import NoLeader, OutcomeUnknown, Overloaded, QuorateError, TooLarge

CALLS_MAX = 1024  # of one kind: made by this node, and served for each peer
CALL_BACKLOG_BYTES = 16 * 1024 * 1024
SMALL_BYTES = 64 * 1024  # a smaller answer is sent whatever waits
CALL_S = 10.0
SERVED_BYTES_MAX = 4 * MESSAGE_BYTES_MAX  # of the calls that are served for one peer
SAME_VERSION = "do both run the same version of Quorate?"
CALL_BYTES = 1024  # what a call's message may have around its body

log = logging.getLogger(__name__)


class _Call(msgspec.Struct, array_like=True, tag=1):
    id: int
    kind: Annotated[str, msgspec.Meta(max_length=64)]
    body: bytes


class _Answer(msgspec.Struct, array_like=True, tag=2):
    id: int
    body: bytes


class _Failed(msgspec.Struct, array_like=True, tag=3):
    """The handler raised an error of this kind."""

    id: int
    kind: str
    detail: str
    fields: dict[str, Any]


class _Ping(msgspec.Struct, array_like=True, tag=4):
    """Says only that the sender is alive."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Call | _Answer | _Failed | _Ping).decode
PING = _encode(_Ping())


class Calls:
    """The calls that this node makes, and those that it serves with its handlers."""

    def __init__(self) -> None:
        self._handlers: dict[str, PeerHandler] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._open: dict[int, tuple[PeerConnection, asyncio.Future[bytes]]] = {}
        self._made: Counter[str] = Counter()  # by kind: calls that are open
        self._served: Counter[tuple[str, str]] = Counter()  # by peer and kind: handlers that are at work
        self._served_bytes: Counter[str] = Counter()  # by peer: of the calls that they work at
        self._lines: dict[str, LineLimit] = {}  # by peer: of what is wrong with its calls
        self._ids = itertools.count(1)

    def add_handler(self, kind: str, handler: PeerHandler) -> None:
        self._handlers[kind] = handler

    def tasks(self) -> list[asyncio.Task[None]]:
        """The handlers that are at work now."""
        return list(self._serving)

    def call(
        self, connection: PeerConnection | None, peer: str, kind: str, body: bytes, timeout_s: float | None
    ) -> asyncio.Future[bytes]:
        """Call the peer over `connection`, if there is one. Ends within `timeout_s`, or within `CALL_S`."""
        loop = asyncio.get_running_loop() if connection is None else connection.loop
        answer: asyncio.Future[bytes] = loop.create_future()
        if (refusal := self._refusal(connection, peer, kind, len(body))) is not None:
            answer.set_exception(refusal)
            return answer
        assert connection is not None
        id = next(self._ids)
        self._open[id] = (connection, answer)
        self._made[kind] += 1
        timeout_s = CALL_S if timeout_s is None else timeout_s
        late = f"{peer} did not answer in {timeout_s:.3g} s; send it again with the same id"
        timer = loop.call_later(timeout_s, self._end, [id], late)

        def ended(answer: asyncio.Future[bytes]) -> None:
            timer.cancel()
            self._open.pop(id, None)
            self._made[kind] -= 1

        answer.add_done_callback(ended)
        with connection.flushes:
            sent = connection.send(CALLS, _encode(_Call(id, kind, body)))
        if not sent:
            answer.set_exception(NoLeader(f"there is no connection to {peer} now"))
        return answer

    def _refusal(self, connection: PeerConnection | None, peer: str, kind: str, size: int) -> QuorateError | None:
        if connection is None:
            return NoLeader(f"there is no connection to {peer} now")
        if self._made[kind] >= CALLS_MAX or connection.backlog > CALL_BACKLOG_BYTES:
            return Overloaded(f"too much waits to be sent to {peer}; try again in a moment")
        if size > MESSAGE_BYTES_MAX - CALL_BYTES:
            return TooLarge(f"a call of {size:,} bytes; the limit is {MESSAGE_BYTES_MAX - CALL_BYTES:,}")
        return None

    def fail(self, connection: PeerConnection) -> None:
        """The connection broke: nobody can know the outcome of the calls that were made over it."""
        self._end(self._ids_on(connection), f"the link to {connection.peer} broke; send it again with the same id")

    def end(self, connection: PeerConnection, within_s: float, why: str) -> None:
        """End the calls that are open on this connection now: as unknown, unless they are answered `within_s`."""
        ids = self._ids_on(connection)
        if within_s > 0:
            asyncio.get_running_loop().call_later(within_s, self._end, ids, why)
        else:
            self._end(ids, why)

    def _ids_on(self, connection: PeerConnection) -> list[int]:
        return [id for id, (where, _) in self._open.items() if where is connection]

    def _end(self, ids: list[int], why: str) -> None:
        for id in ids:
            _, answer = self._open.pop(id, (None, None))
            if answer is not None and not answer.done():
                answer.set_exception(OutcomeUnknown(why))

    def received(self, connection: PeerConnection, message: bytes) -> None:
        """Take a message of the calls' stream. Raises one of `MALFORMED` if it cannot be read."""
        match _decode(message):
            case _Call() as call:
                self._serve(connection, call)
            case _Answer(id, body):
                answer = self._open.pop(id, (connection, None))[1]
                if answer is not None and not answer.done():
                    answer.set_result(body)
            case _Failed(id, kind, detail, fields):
                answer = self._open.pop(id, (connection, None))[1]
                if answer is not None and not answer.done():
                    error = (errors.class_of(kind) or OutcomeUnknown)(detail)
                    error.fields = fields  # not as arguments: a field may have the name of one
                    answer.set_exception(error)

    def _serve(self, connection: PeerConnection, call: _Call) -> None:
        peer, size = connection.peer, len(call.body)
        assert peer is not None
        lane = peer, call.kind if call.kind in self._handlers else ""
        too_many = self._served[lane] >= CALLS_MAX or self._served_bytes[peer] + size > SERVED_BYTES_MAX
        if too_many or connection.backlog > CALL_BACKLOG_BYTES:
            self._reply(connection, _failed(call.id, Overloaded("too many calls wait on this node")))
            return
        task = connection.loop.create_task(self._answer(connection, call))
        self._serving.add(task)
        self._served[lane] += 1
        self._served_bytes[peer] += size

        def ended(task: asyncio.Task[None]) -> None:
            self._serving.discard(task)
            self._served[lane] -= 1
            self._served_bytes[peer] -= size

        task.add_done_callback(ended)

    async def handle(self, peer: str, kind: str, body: bytes) -> bytes:
        """Have the handler of this kind answer a call of `peer`, or one that it passed on."""
        handler = self._handlers.get(kind)
        if handler is None:
            raise errors.NotFound(f"this node does not know the call {kind!r}; is it of another version?")
        return await handler(peer, body)

    async def _answer(self, connection: PeerConnection, call: _Call) -> None:
        peer = connection.peer
        assert peer is not None
        reply: _Answer | _Failed
        try:
            reply = _Answer(call.id, await self.handle(peer, call.kind, call.body))
        except QuorateError as error:
            reply = _failed(call.id, error)
        except MALFORMED as error:
            why = f"the call {call.kind!r} of {peer} cannot be read by its receiver ({error}); {SAME_VERSION}"
            if (more := self._may_log(peer)) is not None:
                log.warning("%s%s", why, more)
            reply = _failed(call.id, OutcomeUnknown(why))
        except Exception:
            if (more := self._may_log(peer)) is not None:
                log.exception("a %s call from %s failed%s", call.kind, peer, more)
            reply = _failed(call.id, OutcomeUnknown("the other node failed inside; its log says how"))
        self._reply(connection, reply)

    def _may_log(self, peer: str) -> str | None:
        """See `LineLimit.allow`."""
        return self._lines.setdefault(peer, LineLimit()).allow(asyncio.get_running_loop().time())

    def _reply(self, connection: PeerConnection, reply: _Answer | _Failed) -> None:
        message = _encode(reply)
        if len(message) > MESSAGE_BYTES_MAX:  # the peer would close the connection
            message = _encode(_failed(reply.id, OutcomeUnknown(f"the answer has {len(message):,} bytes: too many")))
        elif len(message) > SMALL_BYTES and connection.backlog + len(message) > CALL_BACKLOG_BYTES:
            # Many that were asked for in one moment. To break the connection off would cost votes that are on it, too.
            message = _encode(_failed(reply.id, OutcomeUnknown("too much waits to be sent to you; ask again")))
        if connection.backlog > 2 * CALL_BACKLOG_BYTES:
            connection.close("it goes on calling and does not read the answers")
        with connection.flushes:
            connection.send(CALLS, message)


def _failed(id: int, error: QuorateError) -> _Failed:
    return _Failed(id, errors.kind_for_peers(error.kind), error.detail, error.fields)
