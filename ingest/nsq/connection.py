"""One connection to an nsqd, and the messages that it delivered and that still wait for an answer.

pynsq's own connection awaits two futures for each message, and makes an object with three listeners: 28 microseconds.
Here a chunk of the stream becomes a list of deliveries, and the answers to many messages leave in one write.

Before it closes, the connection sends CLS. Messages that arrive after that are given back at once, so they need not
wait for their timeout.
"""

# pynsq has no annotations:
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import nsq
from nsq import protocol
from tornado.iostream import StreamClosedError

READ_BYTES = 256 * 1024
HELD_BYTES_MAX = 16 * 1024 * 1024  # with more bytes waiting for an answer, nothing is read
FRAME_BYTES_MAX = 64 * 1024 * 1024  # no frame of nsqd is longer
CLOSE_S = 1.0  # for nsqd to answer CLS; messages that come later are delivered again after their timeout

_frame_head = struct.Struct(">ii")
_message_head = struct.Struct(">qH16s")

log = logging.getLogger(__name__)


class NsqDelivery:
    """A message, as one connection delivered it. Only that connection knows whether it was answered."""

    __slots__ = ("attempts", "body", "came_s", "connection", "id", "kept_s", "timestamp_ns")

    def __init__(
        self, connection: NsqdConnection, id: bytes, timestamp_ns: int, attempts: int, body: bytes, came_s: float
    ) -> None:
        self.connection, self.id, self.timestamp_ns = connection, id, timestamp_ns
        self.attempts, self.body = attempts, body
        self.came_s = self.kept_s = came_s  # monotonic; `kept_s` moves with each TOUCH

    @property
    def identity(self) -> str:
        """Two nsqds with one node id may give the same message id, hence the timestamp."""
        return f"nsq:{self.connection.topic}:{self.id.decode()}:{self.timestamp_ns}"

    @property
    def sent_ms(self) -> int:
        return self.timestamp_ns // 1_000_000

    @property
    def is_orphan(self) -> bool:
        """Whether its connection broke: an nsqd that was killed forgets what it had delivered."""
        return self.connection.ended.done()

    @property
    def origin(self) -> Mapping[str, Any]:
        return {
            "topic": self.connection.topic,
            "message": self.id.decode(),
            "timestamp_ns": self.timestamp_ns,
            "attempts": self.attempts,
            "nsqd": self.connection.id,
        }


class NsqdConnection(nsq.AsyncConn):
    """A connection to one nsqd. `held` has the deliveries that still wait for an answer, oldest first."""

    def __init__(
        self,
        host: str,
        port: int,
        topic: str,
        on_deliveries: Callable[[NsqdConnection, list[NsqDelivery]], None],
        **options: Any,
    ) -> None:
        super().__init__(host, port, **options)
        loop = asyncio.get_running_loop()
        self.topic = topic
        self.held: dict[bytes, NsqDelivery] = {}
        self.held_bytes = 0
        self.is_full = False
        self.heard_s = time.monotonic()  # pynsq's `last_recv_timestamp` is of the wall clock, which may jump
        self.ended: asyncio.Future[None] = loop.create_future()
        self.is_ready: asyncio.Future[None] = loop.create_future()
        self.msg_timeout_s = 60.0
        self._on_deliveries = on_deliveries
        self.error = ""  # the last error
        self._answers: deque[asyncio.Future[bytes]] = deque()
        self._unread = b""
        self.on("identify_response", self._on_terms)
        self.on("close", self._on_end)

    def _on_terms(self, data: dict[str, Any], **_: Any) -> None:
        self.msg_timeout_s = data.get("msg_timeout", 60_000) / 1000

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _connect_callback(self, fut: Any) -> None:
        with contextlib.suppress(StreamClosedError, OSError):  # "close" tells of it; pynsq would print a traceback
            super()._connect_callback(fut)

    def _start_read(self) -> None:
        self.is_full = self.held_bytes > HELD_BYTES_MAX
        if self.is_full or self.stream is None or self.stream.closed():
            return
        with contextlib.suppress(StreamClosedError):
            self.stream.read_bytes(READ_BYTES, partial=True).add_done_callback(self._on_bytes)

    def _on_bytes(self, read: asyncio.Future[bytes]) -> None:
        try:
            data = read.result()
        except (StreamClosedError, OSError, asyncio.CancelledError):
            return
        self.last_recv_timestamp, self.heard_s = time.time(), time.monotonic()
        try:
            self._parse(self._unread + data if self._unread else data)
        except Exception as error:  # pynsq and we raise many kinds of errors when the peer is no nsqd
            self.error = f"what it sent cannot be read: {error}; is this nsqd's TCP address?"
            self.close()
            return
        self._start_read()

    def _parse(self, data: bytes) -> None:
        at, end, came_s, deliveries = 0, len(data), time.monotonic(), []
        while end - at >= 8:
            size, kind = _frame_head.unpack_from(data, at)
            if not 4 <= size <= FRAME_BYTES_MAX:
                raise ValueError(f"a frame of {size} bytes")
            after = at + 4 + size
            if after > end:
                break
            if kind == nsq.FRAME_TYPE_MESSAGE:
                timestamp_ns, attempts, id = _message_head.unpack_from(data, at + 8)
                deliveries.append(NsqDelivery(self, id, timestamp_ns, attempts, data[at + 34 : after], came_s))
            else:
                self._on_data(data[at + 4 : after])
            at = after
        self._unread = data[at:]
        if deliveries:
            self.last_msg_timestamp = self.last_recv_timestamp
            for delivery in deliveries:
                before = self.held.get(delivery.id)  # it timed out at nsqd and came again while it was held here
                self.held_bytes += len(delivery.body) - (len(before.body) if before else 0)
                self.held[delivery.id] = delivery
            self.in_flight = len(self.held)
            self._on_deliveries(self, deliveries)

    def _on_end(self, **_: Any) -> None:
        self.held.clear()
        self.in_flight = self.held_bytes = 0
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(ConnectionError(f"{self.id} hung up"))
                answer.exception()  # so that asyncio does not complain if nobody awaits it
        self._answers.clear()
        if not self.ended.done():
            self.ended.set_result(None)

    # ---- answering --------------------------------------------------------------------------------------------------

    def finish(self, deliveries: Iterable[NsqDelivery]) -> None:
        """Deliveries that are not held any more are skipped: nsqd delivers them again, and their ids protect them."""
        self._write(b"".join([b"FIN %b\n" % delivery.id for delivery in self._let_go(deliveries)]))

    def give_back(self, deliveries: Iterable[NsqDelivery]) -> int:
        """How many were still held."""
        gone = self._let_go(deliveries)
        self._write(b"".join([b"REQ %b 0\n" % delivery.id for delivery in gone]))
        return len(gone)

    def put_off(self, pauses: Mapping[NsqDelivery, float]) -> list[NsqDelivery]:
        """Those that were still held. nsqd keeps what waits in memory only, as what it has delivered.

        All leave in one write: one for each would hold up the loop when a flood of rubbish comes.
        """
        gone = self._let_go(pauses)
        self._write(b"".join([b"REQ %b %d\n" % (d.id, max(1, round(1000 * pauses[d]))) for d in gone]))
        return gone

    def _let_go(self, deliveries: Iterable[NsqDelivery]) -> list[NsqDelivery]:
        """Those that were held. They are not held any more: their answers are written now."""
        gone = []
        for delivery in deliveries:
            if self.held.get(delivery.id) is delivery:
                del self.held[delivery.id]
                self.held_bytes -= len(delivery.body)
                gone.append(delivery)
        self.in_flight = len(self.held)
        if self.is_full and self.held_bytes <= HELD_BYTES_MAX:
            self.heard_s = time.monotonic()  # nsqd was silent because nothing was read
            self._start_read()
        return gone

    def touch_old(self) -> None:
        """Send TOUCH for messages whose timeout at nsqd is half over."""
        now_s, lines = time.monotonic(), []
        for delivery in list(self.held.values()):
            if now_s - delivery.kept_s < self.msg_timeout_s / 2:
                break  # the others came later
            delivery.kept_s = now_s
            self.held[delivery.id] = self.held.pop(delivery.id)
            lines.append(protocol.touch(delivery.id))
        self._write(b"".join(lines))

    def _write(self, data: bytes) -> None:
        if data:
            with contextlib.suppress(StreamClosedError, OSError):
                self.send(data)

    # ---- commands that nsqd answers ---------------------------------------------------------------------------------

    def expect(self) -> asyncio.Future[bytes]:
        """The answer to the command that is sent next. nsqd answers in order."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        return answer

    def on_answer(self, data: bytes, **_: Any) -> None:
        if self._answers and not (answer := self._answers.popleft()).done():
            answer.set_result(data)

    async def publish(self, topic: str, bodies: list[bytes], *, timeout_s: float) -> None:
        """Raises `ConnectionError` or `TimeoutError`: then it is not known whether nsqd has the messages."""
        answer = self.expect()
        try:
            self.send(protocol.mpub(topic, bodies))
        except (StreamClosedError, OSError):
            raise ConnectionError(f"{self.id} hung up") from None
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(answer)

    async def end(self) -> None:
        """Give back all messages, also those that are still on their way, and close the connection."""
        self.give_back(list(self.held.values()))
        if self.connected() and self.is_ready.done():
            closing = self.expect()
            self._write(b"CLS\n")
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await closing
                    await asyncio.sleep(0.05)  # nsqd may have been sending one more message when it read CLS
        self.give_back(list(self.held.values()))
        if self.stream is not None:
            self.close()
