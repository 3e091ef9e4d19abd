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

STRANGERS_MAX = 32
CALLS_MAX = 1024
CALL_BACKLOG_BYTES = 16 * 1024 * 1024
CALL_S = 10.0
CALL_BYTES = 1024  # of a call around its body
PING_S = 1.0
SILENCE_S = 4.0
REDIAL_S = (0.05, 0.5)
DIAL_S = 3.0
STAND_IN_S = 2.0  # how long a peer with a greater id may take to dial

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
        self._strangers: dict[PeerConnection, bool] = {}  # in the order they came; whether this node dialled
        self._addresses: dict[str, str] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._handlers: dict[str, PeerHandler] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._calls: dict[int, tuple[PeerConnection, asyncio.Future[bytes]]] = {}
        self._ids = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._complained: dict[str, float] = {}
        self._stopped = False
        self.refusals = 0

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self, host: str, port: int) -> int:
        """Listen; the bound port (`port` 0 takes a free one). Raises `ConfigError`."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: self._stranger(dialled=False), host, port, backlog=128)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigError(
                f"cannot listen for other nodes on {host}:{port}: {why}. Is another node running there? "
                "Stop it, or give another address as raft.listen"
            ) from None
        self._watch()
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
        if self._watching is not None:
            self._watching.cancel()
        if self._server is not None:
            self._server.close()
        tasks = [*self._dialling.values(), *self._serving]
        for task in tasks:
            task.cancel()
        for link in [*self._open.values(), *self._strangers]:
            link.close("this node stops")
        await asyncio.gather(*tasks, return_exceptions=True)
        self._dialling.clear()

    # ---- connections ------------------------------------------------------------------------------------------------

    def _stranger(self, *, dialled: bool) -> PeerConnection:
        """Those who come may be a flood: who has been silent longest goes, for a peer needs but one round trip."""
        link = PeerConnection(self, dialled=dialled)
        self._strangers[link] = dialled
        waiting = [each for each, called in self._strangers.items() if not called]
        if len(waiting) > STRANGERS_MAX:
            waiting[0].close("too many connections that have not introduced themselves")
            self._strangers.pop(waiting[0])
        return link

    async def _dial(self, peer: str) -> None:
        link, pause_s = None, REDIAL_S[0]
        while not self._stopped:
            if peer > self.node_id and peer not in self._open:
                await asyncio.sleep(STAND_IN_S)
            if peer in self._open:
                pause_s = REDIAL_S[0]
            elif link not in self._strangers:  # nor in the middle of its handshake
                try:
                    link = await asyncio.wait_for(self._connect(peer), DIAL_S)
                except (OSError, TimeoutError, ValueError) as error:
                    self._complain(
                        peer, f"cannot reach {peer} at {self._addresses.get(peer)}: {str(error) or 'time out'}"
                    )
                pause_s = min(pause_s * 1.5, REDIAL_S[1])
            await asyncio.sleep(pause_s)

    async def _connect(self, peer: str) -> PeerConnection:
        host, _, port = self._addresses[peer].rpartition(":")
        link = self._stranger(dialled=True)
        try:
            await asyncio.get_running_loop().create_connection(lambda: link, host.strip("[]"), int(port))
        except BaseException:
            self._strangers.pop(link, None)  # it never was a connection: nobody will say that it closed
            raise
        return link

    def _complain(self, whom: str, what: str) -> None:
        """One line a quarter of a minute about each: a peer that is down is news once."""
        now_s = asyncio.get_running_loop().time()
        if self._complained.get(whom, float("-inf")) + 15 < now_s:
            if len(self._complained) > 256:
                self._complained.clear()
            self._complained[whom] = now_s
            log.warning("%s; trying on", what)

    def introduction(self) -> Introduction:
        return self._listener.introduction()

    def opened(self, link: PeerConnection) -> str | None:
        peer = link.peer
        assert peer is not None
        assert link.introduction is not None
        self._strangers.pop(link, None)
        refusal = "it has this node's own id" if peer == self.node_id else None
        refusal = refusal or self._listener.opened(peer, link.introduction)
        if refusal is None and self._open.get(peer) is not link:
            before = self._open.get(peer)
            self._open[peer] = link
            link.let_in = True
            if before is not None:
                before.close("a newer connection took its place")
                self._lost(peer, before)
            self._complained.pop(peer, None)
            self._listener.connected(peer)
        return refusal

    def refused(self, link: PeerConnection, why: str) -> None:
        self._complain(f"{link.peer} refused", f"{link.peer or link.claims} refuses this node: {why}")
        if link.peer is not None:
            self._listener.refused(link.peer, why)

    def closed(self, link: PeerConnection, why: str) -> None:
        self._strangers.pop(link, None)
        if not link.let_in:
            self.refusals += 1
            self._complain(
                link.address.rsplit(",", 1)[0], f"refused {link.claims or 'a stranger'} at {link.address}: {why}"
            )
        if link.peer is None or self._open.get(link.peer) is not link:
            return  # a stranger, or a newer connection took its place
        del self._open[link.peer]
        if not self._stopped:
            log.info("link to %s lost: %s", link.peer, why)
        self._lost(link.peer, link)

    def _lost(self, peer: str, link: PeerConnection) -> None:
        self._fail_calls(link)
        self._listener.disconnected(peer)

    def _fail_calls(self, link: PeerConnection) -> None:
        for id in [id for id, (where, _) in self._calls.items() if where is link]:
            answer = self._calls.pop(id)[1]
            if not answer.done():
                answer.set_exception(OutcomeUnknown("the link to the leader broke; send it again with the same id"))

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for link in list(self._open.values()):
            if now_s - link.heard_s > SILENCE_S:
                link.close(f"silent for {SILENCE_S:.0f} s")
            elif now_s - link.sent_s > PING_S:
                link.send(CALLS, _encode(_Ping()))
        self._watching = loop.call_later(PING_S / 2, self._watch)

    # ---- messages ---------------------------------------------------------------------------------------------------

    def send(self, peer: str, message: messages.Message) -> bool:
        """Queue a Raft message; False if there is no link."""
        link = self._open.get(peer)
        return link is not None and link.send(RAFT, messages.encode(message))

    def backlog(self, peer: str) -> int:
        link = self._open.get(peer)
        return 0 if link is None else link.backlog

    def reintroduce(self, peer: str) -> None:
        """Tell a peer what has changed about this node."""
        link = self._open.get(peer)
        if link is not None:
            link.introduce()

    def is_open(self, peer: str) -> bool:
        return peer in self._open

    def progress(self, link: PeerConnection) -> None:
        if link.peer is not None:
            self._listener.progress(link.peer)

    def received(self, link: PeerConnection, stream: int, message: bytes) -> None:
        assert link.peer is not None
        if self._open.get(link.peer) is not link:
            return
        if stream == RAFT:
            self._listener.received(link.peer, messages.decode(message))
            return
        match _decode(message):
            case _Call() as call:
                self._serve(link, call)
            case _Answer(id, body):
                answer = self._calls.pop(id, (link, None))[1]
                if answer is not None and not answer.done():
                    answer.set_result(body)
            case _Failed(id, kind, detail, fields):
                answer = self._calls.pop(id, (link, None))[1]
                if answer is not None and not answer.done():
                    error = (errors.class_of(kind) or OutcomeUnknown)(detail)
                    error.fields = fields  # whatever they are called
                    answer.set_exception(error)

    # ---- calls ------------------------------------------------------------------------------------------------------

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes:
        """See `Replica.call`. Ends within `timeout_s`, or `CALL_S`."""
        timeout_s = CALL_S if timeout_s is None else timeout_s
        link = self._open.get(peer)
        if link is None:
            raise NoLeader(f"there is no connection to {peer} now")
        if len(self._calls) >= CALLS_MAX or link.backlog > CALL_BACKLOG_BYTES:
            raise Overloaded(f"too much waits to be sent to {peer}; try again in a moment")
        if len(body) > MESSAGE_BYTES_MAX - CALL_BYTES:
            raise TooLarge(f"a call of {len(body):,} bytes; the limit is {MESSAGE_BYTES_MAX - CALL_BYTES:,}")
        id = next(self._ids)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._calls[id] = (link, answer)
        if not link.send(CALLS, _encode(_Call(id, kind, body))):
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

    def _serve(self, link: PeerConnection, call: _Call) -> None:
        if len(self._serving) >= CALLS_MAX or link.backlog > CALL_BACKLOG_BYTES:
            self._reply(link, _failed(call.id, Overloaded("too many calls wait on this node")))
            return
        task = asyncio.get_running_loop().create_task(self._answer(link, call))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _answer(self, link: PeerConnection, call: _Call) -> None:
        assert link.peer is not None
        reply: _Answer | _Failed
        try:
            handler = self._handlers.get(call.kind)
            if handler is None:
                raise errors.NotFound(f"this node does not know the call {call.kind!r}; is it of another version?")
            reply = _Answer(call.id, await handler(link.peer, call.body))
        except QuorateError as error:
            reply = _failed(call.id, error)
        except Exception:
            log.exception("a %s call from %s failed", call.kind, link.peer)
            reply = _failed(call.id, OutcomeUnknown("the other node failed inside; its log says how"))
        self._reply(link, reply)

    def _reply(self, link: PeerConnection, reply: _Answer | _Failed) -> None:
        message = _encode(reply)
        if len(message) > MESSAGE_BYTES_MAX:  # the other end would hang up
            message = _encode(_failed(reply.id, OutcomeUnknown(f"the answer has {len(message):,} bytes: too many")))
        if link.backlog > 2 * CALL_BACKLOG_BYTES:
            link.close("it goes on calling and does not read the answers")
        link.send(CALLS, message)

    def status(self) -> dict[str, dict[str, Any]]:
        """For /status: each member's link."""
        now_s = asyncio.get_running_loop().time()
        return {
            peer: {
                "address": address,
                "open": (link := self._open.get(peer)) is not None,
                "heard_ms_ago": None if link is None else int((now_s - link.heard_s) * 1000),
                "backlog_bytes": self.backlog(peer),
                "bytes_in": 0 if link is None else link.bytes_in,
                "bytes_out": 0 if link is None else link.bytes_out,
            }
            for peer, address in self._addresses.items()
        }


def _failed(id: int, error: QuorateError) -> _Failed:
    return _Failed(id, errors.kind_for_peers(error.kind), error.detail, error.fields)
