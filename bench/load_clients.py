"""Clients of each protocol, as short and cheap as they can be. Each has one request on its way.

They speak HTTP/1.1, Redis' RESP, the protocol of NATS, and gRPC by HTTP/2. What a general library would do besides
(pools, retries, generated classes) is left out, since its CPU would be taken from the servers on the same cores.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import cast

from bench.workloads import DIGITS, Workload

AGAIN_S = 0.02  # a client that was refused waits so long, as a polite client does
HEAD = struct.Struct(">HBBBI")  # of a frame of HTTP/2: its length in two parts, type, flags, stream
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Run:
    """What all clients share: the number of the next request, and what was measured since the warm-up ended."""

    def __init__(self, workload: Workload, seed: int) -> None:
        self.workload = workload
        self.number = seed
        self.running = True
        self.took_s: list[float] = []
        self.failures: Counter[str] = Counter()

    def clear(self) -> None:
        self.took_s.clear()
        self.failures.clear()


class LoadClient(asyncio.Protocol):
    """One connection: it sends a request, waits for its answer, and sends the next request."""

    transport: asyncio.Transport
    is_shared = False  # by all clients of a server: the protocol has room for many requests at once

    def __init__(self, run: Run, make: Callable[[int], bytes], closed: Callable[[], None], clients: int = 1) -> None:
        self.run, self.make, self.closed, self.clients = run, make, closed, clients
        self.rest = b""
        self.sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # That of uvloop has the same methods, but another base class.
        self.transport = cast(asyncio.Transport, transport)
        self.begin()

    def begin(self) -> None:
        """Send the first request of each client."""
        for _ in range(self.clients):
            self.send()

    def send(self) -> None:
        run = self.run
        if not run.running:
            self.transport.close()
            return
        run.number = number = run.number + 1
        request = self.framed(self.make(number))
        self.sent_s = time.perf_counter()
        self.transport.write(request)

    def framed(self, request: bytes) -> bytes:
        return request

    def succeeded(self) -> None:
        self.run.took_s.append(time.perf_counter() - self.sent_s)
        self.send()

    def failed(self, why: str) -> None:
        self.run.failures[why] += 1
        asyncio.get_running_loop().call_later(AGAIN_S, self.send)

    def lost(self, why: str) -> None:
        """An answer from which nobody can go on."""
        self.run.failures[why] += 1
        self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self.run.running:
            self.run.failures["connection lost"] += 1
        self.closed()


class HttpClient(LoadClient):
    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        end = data.find(b"\r\n\r\n")
        found = LENGTH.search(data, 0, end) if end > 0 else None
        if found is None:
            if end > 0:
                self.lost("answer without a length")
            self.rest = data
            return
        if len(data) < end + 4 + int(found[1]):
            self.rest = data
            return
        self.rest = b""
        if data.startswith(b"HTTP/1.1 200") and self.run.workload.success in data:
            self.succeeded()
        else:
            self.failed(data[9:12].decode() if data[9:12] != b"200" else data[-100:].decode("utf-8", "replace"))


class RespClient(LoadClient):
    """An answer is complete when it has all its lines, or an error among them."""

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        workload = self.run.workload
        is_error = data.startswith(b"-") or b"\n-" in data
        if data.count(b"\r\n") < workload.lines and not is_error:
            self.rest = data
            return
        self.rest = b""
        if workload.success in data and not data.endswith(b"\r\n:0\r\n") and not is_error:
            self.succeeded()
        else:
            self.lost(data[:100].decode("utf-8", "replace"))


class NatsClient(LoadClient):
    """It publishes, and the answers of the stream come into an inbox of its own, under the number of the request.

    All clients of a server share one connection, as by the protocol's own libraries.
    """

    is_shared = True
    MARK = b"@" * 16  # in a request, where the inbox stands

    def begin(self) -> None:
        self.inbox = os.urandom(8).hex().encode()
        self.sent: dict[bytes, float] = {}  # when, by number
        said = json.dumps({"verbose": False, "pedantic": False, "headers": True, "no_responders": True})
        self.transport.write(b"CONNECT %b\r\nSUB %b.* 1\r\n" % (said.encode(), self.inbox))
        super().begin()

    def framed(self, request: bytes) -> bytes:
        before, _, after = request.partition(self.MARK)
        self.sent[after[1 : 1 + DIGITS]] = time.perf_counter()
        return before + self.inbox + after

    def data_received(self, data: bytes) -> None:
        data, at = self.rest + data, 0
        while (end := data.find(b"\r\n", at)) >= 0:
            verb, *words = data[at:end].split(b" ")
            after = end + 2
            if verb in (b"MSG", b"HMSG"):
                after += int(words[-1]) + 2
                if len(data) < after:
                    break
                self._answered(words[0], data[end + 2 : after - 2])
            elif verb == b"PING":
                self.transport.write(b"PONG\r\n")
            elif verb == b"-ERR":
                self.lost(data[at:end].decode("utf-8", "replace"))
            at = after
        self.rest = data[at:]

    def _answered(self, subject: bytes, message: bytes) -> None:
        self.sent_s = self.sent.pop(subject[-DIGITS:])
        if self.run.workload.success in message:
            self.succeeded()
        else:
            self.failed(message[:100].decode("utf-8", "replace"))


class GrpcClient(LoadClient):
    """A call is a stream of HTTP/2, and its answer has a message only if the call succeeded.

    All clients of a server share one connection, as gRPC's own libraries do: a connection each cost etcd twice the CPU.
    Windows need no care: calls are far smaller than the server's, and ours are opened as wide as they go.
    """

    is_shared = True
    DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY = 0, 1, 3, 4, 6, 7
    END_STREAM = ACK = 1
    END_HEADERS = 4
    # Each of these may be named by one byte once it was said: the last one is entry 62 of HPACK's table (RFC 7541).
    SAID_BEFORE = bytes((0x83, 0x86, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62))  # POST by http, and the four below
    OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    def begin(self) -> None:
        self.stream = -1
        self.sent: dict[int, float] = {}  # when, by stream
        self.messages: set[int] = set()  # streams that have one
        self.head = b"\x83\x86" + b"".join(
            _literal(name, value)
            for name, value in (
                (b":path", self.run.workload.path),
                (b":authority", b"localhost"),
                (b"content-type", b"application/grpc"),
                (b"te", b"trailers"),
            )
        )
        small_table = struct.pack(
            ">HI", 1, 0
        )  # of our decoder: so no header is told by a number that we would have to know
        window = struct.pack(">I", 2**31 - 2**16)
        self.transport.write(
            self.OPENING + http2_frame(self.SETTINGS, 0, 0, small_table) + http2_frame(8, 0, 0, window)
        )
        super().begin()

    def framed(self, request: bytes) -> bytes:
        self.stream += 2
        self.sent[self.stream] = time.perf_counter()
        head, self.head = self.head, self.SAID_BEFORE
        return http2_frame(self.HEADERS, self.END_HEADERS, self.stream, head) + http2_frame(
            self.DATA, self.END_STREAM, self.stream, b"\0" + struct.pack(">I", len(request)) + request
        )

    def data_received(self, data: bytes) -> None:
        data, at = self.rest + data, 0
        while len(data) >= at + 9:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            end = at + 9 + (high << 8) + low
            if len(data) < end:
                break
            self._take(kind, flags, stream, data[at + 9 : end])
            at = end
        self.rest = data[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == self.DATA:
            self.messages.add(stream)
        elif kind == self.PING and not flags & self.ACK:
            self.transport.write(http2_frame(self.PING, self.ACK, 0, payload))
        elif kind == self.SETTINGS and not flags & self.ACK:
            self.transport.write(http2_frame(self.SETTINGS, self.ACK, 0, b""))
        elif kind == self.GO_AWAY:
            self.lost(payload[8:].decode("utf-8", "replace") or "the server goes away")
        ended = flags & self.END_STREAM and kind in (self.DATA, self.HEADERS)
        if not ended and kind != self.RESET:
            return
        self.sent_s = self.sent.pop(stream)
        if ended and stream in self.messages:
            self.succeeded()
        else:
            self.failed("the call failed")
        self.messages.discard(stream)


def http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return HEAD.pack(*divmod(len(payload), 256), kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that goes into the table of the server's decoder (RFC 7541, 6.2.1)."""
    return b"\x40" + bytes((len(name),)) + name + bytes((len(value),)) + value


CLIENTS: dict[str, type[LoadClient]] = {"http": HttpClient, "resp": RespClient, "nats": NatsClient, "grpc": GrpcClient}
