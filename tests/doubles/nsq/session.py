"""One client's connection to the double of nsqd: commands in, frames out.

It is as strict as nsqd. A command that is not allowed in the client's state, a missing parameter, an invalid name or
number, and a body of the wrong size get an error, and most of these errors end the connection. Messages are buffered as
the client has negotiated: they are sent when the client has as many as it asked for, when the buffer is full, or at the
buffer's timeout.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from tests.doubles.nsq import wire
from tests.doubles.nsq.arguments import checked_name, checked_number, split_mpub
from tests.doubles.nsq.broker import Broker, Channel
from tests.doubles.nsq.terms import Identify, Terms
from tests.doubles.nsq.wire import ID_BYTES, Message, Options, ProtocolError

LINE_BYTES_MAX = 16 * 1024
INIT, SUBSCRIBED, CLOSING = 0, 3, 4  # nsqd's numbers; /stats shows them


class _Need(Exception):
    """The command has not arrived completely."""


class Registry(Protocol):
    """The server a session belongs to."""

    broker: Broker
    options: Options
    sessions: set[Session]


class Session(asyncio.Protocol):
    """A subscriber of the broker and a publisher, until its connection ends."""

    def __init__(self, server: Registry) -> None:
        self.server, self.broker, self.options = server, server.broker, server.options
        self.identity = Identify()
        self.state = INIT
        self.channel: Channel | None = None
        self.connected_s = int(time.time())
        self.terms = Terms.of(self.options)
        self.ready_count = self.in_flight = 0
        self.delivered = self.finished = self.requeued = 0
        self.published: dict[str, int] = {}
        self._greeted = self._identified = self._blocked = False
        self._in = bytearray()
        self._at = 0
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._heard_s = time.monotonic()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.transport: asyncio.Transport | None = None

    # ---- the connection ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.sessions.add(self)
        self._beat_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.sessions.discard(self)
        for timer in self._timers.values():
            timer.cancel()
        if self.channel is not None:
            self.broker.unsubscribe(self.channel, self)
        self.ready_count = 0

    def close(self) -> None:
        self._flush()
        if self.transport is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self.channel is not None:
            self.channel.pump()

    def data_received(self, data: bytes) -> None:
        self._heard_s = time.monotonic()
        self._in += data
        done = self._at = 0
        try:
            while self.transport is not None and not self.transport.is_closing():
                self._command()
                done = self._at
        except _Need:
            pass
        del self._in[:done]
        self.broker.journal.flush()
        if self.channel is not None:
            self.channel.pump()

    def _beat_later(self) -> None:
        if self.terms.heartbeat_ms > 0:
            loop = asyncio.get_running_loop()
            self._timers["heartbeat"] = loop.call_later(self.terms.heartbeat_ms / 1000, self._beat)

    def _beat(self) -> None:
        if time.monotonic() - self._heard_s > 2 * self.terms.heartbeat_ms / 1000:
            self.close()
            return
        self._respond(b"_heartbeat_")
        self._beat_later()

    # ---- what it reads ----------------------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        if len(self._in) - self._at < size:
            raise _Need
        self._at += size
        return bytes(self._in[self._at - size : self._at])

    def _take_size(self) -> int:
        return int(struct.unpack(">i", self._take(4))[0])

    def _take_line(self) -> list[bytes]:
        end = self._in.find(b"\n", self._at)
        if end < 0 and len(self._in) - self._at >= LINE_BYTES_MAX:
            self.close()
        if end < 0:
            raise _Need
        return self._take(end + 1 - self._at)[:-1].removesuffix(b"\r").split(b" ")

    def _take_body(self, command: str, code: str, max_size: int, what: str = "message") -> bytes:
        size = self._take_size()
        kind = "message body size" if what == "message" else "body size"
        if size <= 0:
            raise ProtocolError(code, f"{command} invalid {kind} {size}")
        if size > max_size:
            raise ProtocolError(code, f"{command} {what} too big {size} > {max_size}")
        return self._take(size)

    def _command(self) -> None:
        """Read and execute one command. It changes nothing until it has arrived completely."""
        if not self._greeted:
            if self._take(4) != wire.MAGIC_CLIENT:
                self._send(wire.frame(wire.FRAME_ERROR, b"E_BAD_PROTOCOL"))
                self.close()
                raise _Need
            self._greeted = True
            return
        name, *params = self._take_line()
        try:
            do = _COMMANDS.get(name)
            if do is None:
                raise ProtocolError("E_INVALID", f"invalid command {name.decode(errors='replace')}")
            answer = do(self, params)
        except ProtocolError as error:
            self._send(wire.frame(wire.FRAME_ERROR, str(error).encode()))
            if error.fatal:
                self.close()
                raise _Need from None
            return
        if answer is not None:
            self._respond(answer)

    # ---- what it sends ----------------------------------------------------------------------------------------------

    def _respond(self, payload: bytes) -> None:
        self._send(wire.frame(wire.FRAME_RESPONSE, payload))

    def _send(self, data: bytes) -> None:
        self._out.append(data)
        self._flush()

    def _flush(self) -> None:
        timer = self._timers.pop("flush", None)
        if timer is not None:
            timer.cancel()
        if self._out and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0

    # ---- as a subscriber --------------------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        return self.in_flight < self.ready_count and not self._blocked

    def deliver(self, message: Message) -> None:
        self.in_flight += 1
        self.delivered += 1
        data = wire.message_frame(message.timestamp_ns, message.attempts, message.id, message.body)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes >= self.terms.output_buffer_size:
            self._flush()

    def settle(self) -> None:
        """Called after deliveries: send the buffer now if the client can take no more, or within the agreed time."""
        if not self.is_ready() or self.terms.output_buffer_timeout_ms <= 0:
            self._flush()
        elif self._out and "flush" not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers["flush"] = loop.call_later(self.terms.output_buffer_timeout_ms / 1000, self._flush)

    def timed_out(self) -> None:
        self.in_flight -= 1

    def emptied(self) -> None:
        self.in_flight = 0

    # ---- commands ---------------------------------------------------------------------------------------------------

    def _require(self, condition: bool, detail: str) -> None:
        if not condition:
            raise ProtocolError("E_INVALID", detail)

    def _identify(self, params: list[bytes]) -> bytes:
        self._require(self.state == INIT, "cannot IDENTIFY in current state")
        body = self._take_body("IDENTIFY", "E_BAD_BODY", self.options.max_body_size, "body")
        try:
            self.identity = msgspec.json.decode(body, type=Identify)
        except msgspec.DecodeError:
            raise ProtocolError("E_BAD_BODY", "IDENTIFY failed to decode JSON body") from None
        self.terms.agree(self.identity, self.options)
        if "heartbeat" in self._timers:
            self._timers.pop("heartbeat").cancel()
        self._beat_later()
        return msgspec.json.encode(self.terms.as_told(self.options)) if self.identity.feature_negotiation else b"OK"

    def _auth(self, params: list[bytes]) -> bytes:
        self._require(self.state == INIT, "cannot AUTH in current state")
        self._require(not params, "AUTH invalid number of parameters")
        self._take_body("AUTH", "E_BAD_BODY", self.options.max_body_size, "body")
        raise ProtocolError("E_AUTH_DISABLED", "AUTH disabled")

    def _sub(self, params: list[bytes]) -> bytes:
        self._require(self.state == INIT, "cannot SUB in current state")
        self._require(self.terms.heartbeat_ms > 0, "cannot SUB with heartbeats disabled")
        self._require(len(params) >= 2, "SUB insufficient number of parameters")
        topic = checked_name("SUB", "topic", params[0])
        channel = checked_name("SUB", "channel", params[1])
        self.state = SUBSCRIBED
        self.channel = self.broker.subscribe(topic, channel, self)
        return b"OK"

    def _rdy(self, params: list[bytes]) -> None:
        if self.state == CLOSING:
            return
        self._require(self.state == SUBSCRIBED, "cannot RDY in current state")
        count = checked_number("RDY", "count", params[0]) if params else 1
        self._require(
            count <= self.options.max_rdy_count, f"RDY count {count} out of range 0-{self.options.max_rdy_count}"
        )
        self.ready_count = count
        if not self.is_ready():
            self._flush()

    def _held(self, command: str, params: list[bytes], needed: int) -> tuple[Channel, bytes]:
        self._require(self.state in (SUBSCRIBED, CLOSING), f"cannot {command} in current state")
        self._require(len(params) >= needed, f"{command} insufficient number of params")
        self._require(len(params[0]) == ID_BYTES, "invalid message ID")
        assert self.channel is not None
        return self.channel, params[0]

    def _fin(self, params: list[bytes]) -> None:
        channel, id = self._held("FIN", params, 1)
        _or_failed("FIN", id, lambda: channel.finish(id, self))
        self.in_flight -= 1
        self.finished += 1

    def _req(self, params: list[bytes]) -> None:
        channel, id = self._held("REQ", params, 2)
        delay_ms = min(checked_number("REQ", "timeout", params[1]), self.options.max_req_timeout_ms)
        _or_failed("REQ", id, lambda: channel.requeue(id, self, delay_ms))
        self.in_flight -= 1
        self.requeued += 1

    def _touch(self, params: list[bytes]) -> None:
        channel, id = self._held("TOUCH", params, 1)
        _or_failed("TOUCH", id, lambda: channel.touch(id, self))

    def _cls(self, params: list[bytes]) -> bytes:
        self._require(self.state == SUBSCRIBED, "cannot CLS in current state")
        self.state = CLOSING
        self.ready_count = 0
        return b"CLOSE_WAIT"

    def _nop(self, params: list[bytes]) -> None:
        pass

    def _pub(self, params: list[bytes]) -> bytes | None:
        self._require(len(params) >= 1, "PUB insufficient number of parameters")
        topic = checked_name("PUB", "topic", params[0])
        return self._publish(topic, [self._take_body("PUB", "E_BAD_MESSAGE", self.options.max_msg_size)])

    def _dpub(self, params: list[bytes]) -> bytes | None:
        self._require(len(params) >= 2, "DPUB insufficient number of parameters")
        topic = checked_name("DPUB", "topic", params[0])
        delay_ms = checked_number("DPUB", "timeout", params[1])
        longest_ms = self.options.max_req_timeout_ms
        self._require(delay_ms <= longest_ms, f"DPUB timeout {delay_ms} out of range 0-{longest_ms}")
        body = self._take_body("DPUB", "E_BAD_MESSAGE", self.options.max_msg_size)
        return self._publish(topic, [body], delay_ms)

    def _mpub(self, params: list[bytes]) -> bytes | None:
        self._require(len(params) >= 1, "MPUB insufficient number of parameters")
        topic = checked_name("MPUB", "topic", params[0])
        body = self._take_body("MPUB", "E_BAD_BODY", self.options.max_body_size, "body")
        return self._publish(topic, split_mpub(body, self.options))

    def _publish(self, topic: str, bodies: list[bytes], delay_ms: int = 0) -> bytes | None:
        self.published[topic] = self.published.get(topic, 0) + len(bodies)
        self.broker.publish(self.broker.topic(topic), bodies, delay_ms)
        if takes_ms := len(bodies) * self.options.sync_takes_ms:
            asyncio.get_running_loop().call_later(takes_ms / 1000, self._respond, b"OK")
            return None
        return b"OK"


def _or_failed(command: str, id: bytes, do: Callable[[], None]) -> None:
    try:
        do()
    except LookupError as error:
        text = f"{command} {id.decode(errors='replace')} failed {error.args[0]}"
        raise ProtocolError(f"E_{command}_FAILED", text, fatal=False) from None


_COMMANDS: dict[bytes, Callable[[Session, list[bytes]], bytes | None]] = {
    b"IDENTIFY": Session._identify,
    b"AUTH": Session._auth,
    b"SUB": Session._sub,
    b"RDY": Session._rdy,
    b"FIN": Session._fin,
    b"REQ": Session._req,
    b"TOUCH": Session._touch,
    b"CLS": Session._cls,
    b"NOP": Session._nop,
    b"PUB": Session._pub,
    b"MPUB": Session._mpub,
    b"DPUB": Session._dpub,
}
