"""All links of a node: who is connected, whom to dial, and calls that always end.

Of two nodes the one with the greater id dials, and the other one when it does not: a new node may not know the leader
that it is to learn everything from. A broken link is dialled again with a growing pause; a silent one is cut. A call
over a link ends in an answer, an error that says it surely was not sent, or `OutcomeUnknown`: never in silence.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from quorate import errors
from quorate.cluster.raft import messages
from quorate.cluster.raft.transport.connection import CALLS, MESSAGE_BYTES_MAX, RAFT, Introduction, PeerConnection
from quorate.cluster.replica import PeerHandler
from quorate.errors import ConfigError, NoLeader, OutcomeUnknown, Overloaded, QuorateError, TooLarge

HANDSHAKES_MAX = 32
CALLS_MAX = 1024
CALL_BACKLOG_BYTES = 16 * 1024 * 1024
CALL_S = 10.0
CALL_BYTES = 1024  # of a call around its body
PING_S = 1.0
SILENCE_S = 4.0
REDIAL_S = (0.05, 0.5)
DIAL_S = 3.0
FIRST_DIAL_WAIT_S = 2.0  # how long a peer with a greater id may take to dial

log = logging.getLogger(__name__)


class _Call(msgspec.Struct, array_like=True, tag=1):
    id: int
    kind: str
    body: bytes


class _Answer(msgspec.Struct, array_like=True, tag=2):
    id: int
    body: bytes


class _Failed(msgspec.Struct, array_like=True, tag=3):
    id: int
    kind: str
    detail: str
    fields: dict[str, Any]


class _Ping(msgspec.Struct, array_like=True, tag=4):
    pass


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Call | _Answer | _Failed | _Ping).decode


class Listener(Protocol):
    """Who is told what comes over the links."""

    def introduction(self) -> Introduction: ...

    def opened(self, peer: str, introduction: Introduction) -> str | None:
        """A peer proved itself: a reason to refuse it, or None."""
        ...

    def connected(self, peer: str) -> None: ...

    def disconnected(self, peer: str) -> None: ...

    def refused(self, peer: str, why: str) -> None:
        """A peer that proved itself wants no link with this node."""
        ...

    def received(self, peer: str, message: messages.Message) -> None: ...

    def progress(self, peer: str) -> None: ...


class PeerTransport:
    """Runs on the node's loop; `start` listens and dials, `stop` closes everything. One link a peer: the newest."""

    def __init__(self, node_id: str, listener: Listener, *, key: bytes | None) -> None:
        self.node_id, self.key = node_id, key
        self._listener = listener
        self._open: dict[str, PeerConnection] = {}
        self._handshaking: dict[PeerConnection, bool] = {}  # in the order they came; whether this node dialled
        self._addresses: dict[str, str] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._handlers: dict[str, PeerHandler] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._calls: dict[int, tuple[PeerConnection, asyncio.Future[bytes]]] = {}
        self._ids = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._check_timer: asyncio.TimerHandle | None = None
        self._warned_at_s: dict[str, float] = {}
        self._stopped = False
        self.refusals = 0

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self, host: str, port: int) -> int:
        """Listen; the bound port (`port` 0 takes a free one). Raises `ConfigError`."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: self._new_connection(dialled=False), host, port, backlog=128
            )
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigError(
                f"cannot listen for other nodes on {host}:{port}: {why}. Is another node running there? "
                "Stop it, or give another address as raft.listen"
            ) from None
        self._check_connections()
        return int(self._server.sockets[0].getsockname()[1])

    def set_members(self, addresses: Mapping[str, str]) -> None:
        """Whom to be connected with: node id -> host:port, without this node."""
        self._addresses = dict(addresses)
        for peer in [peer for peer in self._dialling if peer not in addresses]:
            self._dialling.pop(peer).cancel()
        for peer in addresses:
            if peer not in self._dialling and not self._stopped:
                self._dialling[peer] = asyncio.get_running_loop().create_task(self._dial(peer))

    def refuse(self, peer: str, why: str) -> None:
        """Tell a peer that we are connected with why we do not want to be any more, and hang up."""
        if peer in self._open:
            self._open[peer].refuse(why)

    async def stop(self) -> None:
        self._stopped = True
        if self._check_timer is not None:
            self._check_timer.cancel()
        if self._server is not None:
            self._server.close()
        tasks = [*self._dialling.values(), *self._serving]
        for task in tasks:
            task.cancel()
        for connection in [*self._open.values(), *self._handshaking]:
            connection.close("this node stops")
        await asyncio.gather(*tasks, return_exceptions=True)
        self._dialling.clear()

    # ---- connections ------------------------------------------------------------------------------------------------

    def _new_connection(self, *, dialled: bool) -> PeerConnection:
        """Those who come may be a flood: who has been silent longest goes, for a peer needs but one round trip."""
        connection = PeerConnection(self, dialled=dialled)
        self._handshaking[connection] = dialled
        waiting = [each for each, called in self._handshaking.items() if not called]
        if len(waiting) > HANDSHAKES_MAX:
            waiting[0].close("too many connections that have not introduced themselves")
            self._handshaking.pop(waiting[0])
        return connection

    async def _dial(self, peer: str) -> None:
        connection, pause_s = None, REDIAL_S[0]
        while not self._stopped:
            if peer > self.node_id and peer not in self._open:
                await asyncio.sleep(FIRST_DIAL_WAIT_S)
            if peer in self._open:
                pause_s = REDIAL_S[0]
            elif connection not in self._handshaking:  # nor in the middle of its handshake
                try:
                    connection = await asyncio.wait_for(self._connect(peer), DIAL_S)
                except (OSError, TimeoutError, ValueError) as error:
                    self._warn(peer, f"cannot reach {peer} at {self._addresses.get(peer)}: {str(error) or 'time out'}")
                pause_s = min(pause_s * 1.5, REDIAL_S[1])
            await asyncio.sleep(pause_s)

    async def _connect(self, peer: str) -> PeerConnection:
        host, _, port = self._addresses[peer].rpartition(":")
        connection = self._new_connection(dialled=True)
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, host.strip("[]"), int(port))
        except BaseException:
            self._handshaking.pop(connection, None)  # it never was a connection: nobody will say that it closed
            raise
        return connection

    def _warn(self, whom: str, what: str) -> None:
        """One line a quarter of a minute about each: a peer that is down is news once."""
        now_s = asyncio.get_running_loop().time()
        if self._warned_at_s.get(whom, float("-inf")) + 15 < now_s:
            if len(self._warned_at_s) > 256:
                self._warned_at_s.clear()
            self._warned_at_s[whom] = now_s
            log.warning("%s; trying on", what)

    def introduction(self) -> Introduction:
        return self._listener.introduction()

    def opened(self, connection: PeerConnection) -> str | None:
        peer = connection.peer
        assert peer is not None
        assert connection.introduction is not None
        self._handshaking.pop(connection, None)
        refusal = "it has this node's own id" if peer == self.node_id else None
        refusal = refusal or self._listener.opened(peer, connection.introduction)
        if refusal is None and self._open.get(peer) is not connection:
            before = self._open.get(peer)
            self._open[peer] = connection
            connection.accepted = True
            if before is not None:
                before.close("a newer connection took its place")
                self._lost(peer, before)
            self._warned_at_s.pop(peer, None)
            self._listener.connected(peer)
        return refusal

    def refused(self, connection: PeerConnection, why: str) -> None:
        self._warn(f"{connection.peer} refused", f"{connection.peer or connection.claimed_id} refuses this node: {why}")
        if connection.peer is not None:
            self._listener.refused(connection.peer, why)

    def closed(self, connection: PeerConnection, why: str) -> None:
        self._handshaking.pop(connection, None)
        if not connection.accepted:
            self.refusals += 1
            self._warn(
                connection.address.rsplit(",", 1)[0],
                f"refused {connection.claimed_id or 'a stranger'} at {connection.address}: {why}",
            )
        if connection.peer is None or self._open.get(connection.peer) is not connection:
            return  # a stranger, or a newer connection took its place
        del self._open[connection.peer]
        if not self._stopped:
            log.info("link to %s lost: %s", connection.peer, why)
        self._lost(connection.peer, connection)

    def _lost(self, peer: str, connection: PeerConnection) -> None:
        self._fail_calls(connection)
        self._listener.disconnected(peer)

    def _fail_calls(self, connection: PeerConnection) -> None:
        for id in [id for id, (where, _) in self._calls.items() if where is connection]:
            answer = self._calls.pop(id)[1]
            if not answer.done():
                answer.set_exception(OutcomeUnknown("the link to the leader broke; send it again with the same id"))

    def _check_connections(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for connection in list(self._open.values()):
            if now_s - connection.heard_s > SILENCE_S:
                connection.close(f"silent for {SILENCE_S:.0f} s")
            elif now_s - connection.sent_s > PING_S:
                connection.send(CALLS, _encode(_Ping()))
        self._check_timer = loop.call_later(PING_S / 2, self._check_connections)

    # ---- messages ---------------------------------------------------------------------------------------------------

    def send(self, peer: str, message: messages.Message) -> bool:
        """Queue a Raft message; False if there is no link."""
        connection = self._open.get(peer)
        return connection is not None and connection.send(RAFT, messages.encode(message))

    def backlog(self, peer: str) -> int:
        connection = self._open.get(peer)
        return 0 if connection is None else connection.backlog

    def reintroduce(self, peer: str) -> None:
        """Tell a peer what has changed about this node."""
        connection = self._open.get(peer)
        if connection is not None:
            connection.introduce()

    def is_open(self, peer: str) -> bool:
        return peer in self._open

    def progress(self, connection: PeerConnection) -> None:
        if connection.peer is not None:
            self._listener.progress(connection.peer)

    def received(self, connection: PeerConnection, stream: int, message: bytes) -> None:
        assert connection.peer is not None
        if self._open.get(connection.peer) is not connection:
            return
        if stream == RAFT:
            self._listener.received(connection.peer, messages.decode(message))
            return
        match _decode(message):
            case _Call() as call:
                self._serve(connection, call)
            case _Answer(id, body):
                answer = self._calls.pop(id, (connection, None))[1]
                if answer is not None and not answer.done():
                    answer.set_result(body)
            case _Failed(id, kind, detail, fields):
                answer = self._calls.pop(id, (connection, None))[1]
                if answer is not None and not answer.done():
                    error = (errors.class_of(kind) or OutcomeUnknown)(detail)
                    error.fields = fields  # whatever they are called
                    answer.set_exception(error)

    # ---- calls ------------------------------------------------------------------------------------------------------

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes:
        """See `Replica.call`. Ends within `timeout_s`, or `CALL_S`."""
        timeout_s = CALL_S if timeout_s is None else timeout_s
        connection = self._open.get(peer)
        if connection is None:
            raise NoLeader(f"there is no connection to {peer} now")
        if len(self._calls) >= CALLS_MAX or connection.backlog > CALL_BACKLOG_BYTES:
            raise Overloaded(f"too much waits to be sent to {peer}; try again in a moment")
        if len(body) > MESSAGE_BYTES_MAX - CALL_BYTES:
            raise TooLarge(f"a call of {len(body):,} bytes; the limit is {MESSAGE_BYTES_MAX - CALL_BYTES:,}")
        id = next(self._ids)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._calls[id] = (connection, answer)
        if not connection.send(CALLS, _encode(_Call(id, kind, body))):
            del self._calls[id]
            raise NoLeader(f"there is no connection to {peer} now")
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            late = f"{peer} did not answer in {timeout_s:.3g} s; send it again with the same id"
            raise OutcomeUnknown(late) from None
        finally:
            self._calls.pop(id, None)

    def serve(self, kind: str, handler: PeerHandler) -> None:
        self._handlers[kind] = handler

    def _serve(self, connection: PeerConnection, call: _Call) -> None:
        if len(self._serving) >= CALLS_MAX or connection.backlog > CALL_BACKLOG_BYTES:
            self._reply(connection, _failed(call.id, Overloaded("too many calls wait on this node")))
            return
        task = asyncio.get_running_loop().create_task(self._answer(connection, call))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _answer(self, connection: PeerConnection, call: _Call) -> None:
        assert connection.peer is not None
        reply: _Answer | _Failed
        try:
            handler = self._handlers.get(call.kind)
            if handler is None:
                raise errors.NotFound(f"this node does not know the call {call.kind!r}; is it of another version?")
            reply = _Answer(call.id, await handler(connection.peer, call.body))
        except QuorateError as error:
            reply = _failed(call.id, error)
        except Exception:
            log.exception("a %s call from %s failed", call.kind, connection.peer)
            reply = _failed(call.id, OutcomeUnknown("the other node failed inside; its log says how"))
        self._reply(connection, reply)

    def _reply(self, connection: PeerConnection, reply: _Answer | _Failed) -> None:
        message = _encode(reply)
        if len(message) > MESSAGE_BYTES_MAX:  # the other end would hang up
            message = _encode(_failed(reply.id, OutcomeUnknown(f"the answer has {len(message):,} bytes: too many")))
        if connection.backlog > 2 * CALL_BACKLOG_BYTES:
            connection.close("it goes on calling and does not read the answers")
        connection.send(CALLS, message)

    def status(self) -> dict[str, dict[str, Any]]:
        """For /status: each member's link."""
        now_s = asyncio.get_running_loop().time()
        return {
            peer: {
                "address": address,
                "open": (connection := self._open.get(peer)) is not None,
                "heard_ms_ago": None if connection is None else int((now_s - connection.heard_s) * 1000),
                "backlog_bytes": self.backlog(peer),
                "bytes_in": 0 if connection is None else connection.bytes_in,
                "bytes_out": 0 if connection is None else connection.bytes_out,
            }
            for peer, address in self._addresses.items()
        }


def _failed(id: int, error: QuorateError) -> _Failed:
    return _Failed(id, errors.kind_for_peers(error.kind), error.detail, error.fields)
