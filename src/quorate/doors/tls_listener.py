"""Accepts connections on a port for TLS. Who speaks without TLS is told so in words, and nobody else waits for it.

A connection is looked at before its first byte is read: the first byte of a TLS handshake is 22, which no request in
plain text begins with. The handshake must be complete within `head_timeout_s` of the connection. Those that are not
complete are bounded, and the oldest of the address that has most makes room for a new one, since who speaks TLS is done
within milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable

from quorate.doors.address_shares import share_key
from quorate.doors.limits import Limits
from quorate.pace import Pace
from quorate.security.tls import LiveTls

HANDSHAKE = b"\x16"
SHUTDOWN_S = 0.5  # an idle client does not answer the end of TLS, and a node that stops must not wait for it
TELL_S = 2.0  # how long somebody who speaks plain HTTP may take to read the answer
HEAD_BYTES = 64 * 1024
ACCEPT_AGAIN_S = 0.1  # after an accept that failed, as with no descriptor left

log = logging.getLogger(__name__)


class TlsListener:
    """On one socket that listens. `connect` makes the protocol of a connection. `to_plain` is for who speaks the same
    without TLS, as the first byte tells (`begins_plain`).

    `on_bad` is called for each connection that does not come to TLS.
    """

    def __init__(
        self,
        sock: socket.socket,
        connect: Callable[[], asyncio.Protocol],
        tls: LiveTls,
        limits: Limits,
        on_bad: Callable[[], None],
        to_plain: Callable[[], bytes],
        begins_plain: Callable[[bytes], bool] = bytes.isalpha,
    ) -> None:
        self._socket, self._connect, self._tls = sock, connect, tls
        self._limits, self._on_bad, self._to_plain = limits, on_bad, to_plain
        self._begins_plain = begins_plain
        # Connections without a complete handshake, oldest first, each with the address that it counts as.
        self._waiting: dict[asyncio.Task[None], str] = {}
        self._pace = Pace(self._limits.handshakes_per_s, self._limits.handshakes_at_once)
        self._closed = False
        sock.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Accept nothing more, and drop what is no connection yet. Idempotent."""
        self._closed = True
        self._accepting.cancel()
        self._pace.close()
        for task in list(self._waiting):
            task.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        trouble = ""
        try:
            while True:
                try:
                    accepted, address = await loop.sock_accept(self._socket)
                    trouble = ""
                except OSError as error:
                    if trouble != (trouble := str(error)):
                        log.warning("connections to the port for TLS cannot be accepted: %s; trying again", error)
                    await asyncio.sleep(ACCEPT_AGAIN_S)
                    continue
                self._make_room()
                key = share_key(address[0])
                task = loop.create_task(self._welcome(accepted, key))
                self._waiting[task] = key
                task.add_done_callback(self._waiting.pop)
                await asyncio.sleep(0)  # an accept that need not wait does not let others run
        finally:
            self._socket.close()

    def _make_room(self) -> None:
        """Drop the oldest of the address that has most, if there is no room for one more."""
        there = {task: key for task, key in self._waiting.items() if not task.cancelling()}
        if len(there) >= self._limits.handshakes:
            (most, _), *_ = Counter(there.values()).most_common(1)
            next(task for task, key in there.items() if key == most).cancel()

    async def _welcome(self, accepted: socket.socket, key: str) -> None:
        """Make it a connection by a handshake, or answer plain HTTP, or close it."""
        taken = False
        try:
            async with asyncio.timeout(self._limits.head_timeout_s):
                first = await _first_byte(accepted)
                if first == HANDSHAKE:
                    await self._pace.turn(key)
                    taken = await self._shake_hands(accepted)
                elif self._begins_plain(first):
                    await self._tell(accepted)
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            pass
        finally:
            if not taken:
                self._on_bad()
                accepted.close()

    async def _shake_hands(self, accepted: socket.socket) -> bool:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            self._connect,
            accepted,
            ssl=self._tls.context,
            ssl_handshake_timeout=self._limits.head_timeout_s,
            ssl_shutdown_timeout=SHUTDOWN_S,
        )
        if self._closed:
            transport.abort()
        return True

    async def _tell(self, accepted: socket.socket) -> None:
        """Answer, and read on until the client has the answer: a connection that is cut before may lose it."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TELL_S):
            await loop.sock_recv(accepted, HEAD_BYTES)
            await loop.sock_sendall(accepted, self._to_plain())
            accepted.shutdown(socket.SHUT_WR)
            for _ in range(16):
                if not await loop.sock_recv(accepted, HEAD_BYTES):
                    return


async def _first_byte(accepted: socket.socket) -> bytes:
    """Wait for it, and leave it where it is. Empty: the other side has closed."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return accepted.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            readable = loop.create_future()
            loop.add_reader(accepted, _done, readable)
            try:
                await readable
            finally:
                loop.remove_reader(accepted)


def _done(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
