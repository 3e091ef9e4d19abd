"""The sockets of one session, known from before they connect, so that any thread can end what waits on them."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from quorate.web.connecting import WebConnection
from quorate.web.whole_headers import WholeHeadersResponse


class OpenSockets:
    """Each is held by a second descriptor: TLS takes the first one over, and http.client closes it when it likes.

    `shut` is for any thread: all that is under way ends now, and nothing new begins. `close` lets the sockets go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []
        self._is_shut = False

    @property
    def is_shut(self) -> bool:
        return self._is_shut

    def connect(self, host: str, port: int, timeout_s: float | None, options: Sequence[Any]) -> socket.socket:
        """As `socket.create_connection` does it, one address after another."""
        failed = OSError("it has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in options:
                    sock.setsockopt(*option)
                sock.settimeout(timeout_s)
                self._hold(sock)
                sock.connect(address)
            except OSError as error:
                sock.close()
                failed = error
            else:
                return sock
        raise failed

    def shut(self) -> None:
        with self._lock:
            self._is_shut = True
            for sock in self._held:
                with contextlib.suppress(OSError):  # it is not connected, or not any more
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        with self._lock:
            for sock in self._held:
                sock.close()
            self._held.clear()

    def _hold(self, sock: socket.socket) -> None:
        with self._lock:
            if self._is_shut:
                raise ConnectionAbortedError("it was closed before it was open")
            self._held.append(socket.socket(fileno=os.dup(sock.fileno())))


def pools_by_scheme(sockets: OpenSockets) -> dict[str, type[HTTPConnectionPool]]:
    """Classes for urllib3's pool manager, whose connections are among `sockets`."""

    class PlainConnection(HTTPConnection):
        response_class = WholeHeadersResponse

        def _new_conn(self) -> socket.socket:
            return _connect(self, sockets)

    class SecureConnection(WebConnection):
        response_class = WholeHeadersResponse

        def _new_conn(self) -> socket.socket:
            return _connect(self, sockets)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": PlainPool, "https": SecurePool}


def _connect(connection: HTTPConnection, sockets: OpenSockets) -> socket.socket:
    """What urllib3's own does, in the words of its own errors."""
    try:
        timeout_s = connection.timeout
        return sockets.connect(
            connection._dns_host,
            connection.port or connection.default_port,
            timeout_s if isinstance(timeout_s, int | float) else None,
            connection.socket_options or (),
        )
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, "not connected in time") from error
    except OSError as error:
        raise NewConnectionError(connection, f"not connected: {error}") from error
