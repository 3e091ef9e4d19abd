"""A WebSocket that is read for hours: with a limit for silence, ended from any thread, and asked through the proxy that
the environment names for such a URL."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from requests.structures import CaseInsensitiveDict
from websockets.exceptions import ConnectionClosed, InvalidStatus, ProxyError, WebSocketException
from websockets.sync.client import ClientConnection, connect

import quorate
from quorate.errors import ConfigError
from quorate.web.long_read import LongReadFailed, Reason, redirected
from quorate.web.proxies import proxy_for
from quorate.web.words import by_way_of

CONNECT_S = 10.0
CLOSE_S = 0.5
PING_S = 20.0  # between two pings, and until an answer
FRAMES_AHEAD = 64  # read from the socket and not yet received


PASSING = (408, 425, 429)  # of the answers below 500, these ask for another try


class WebSocketRefused(Exception):
    """The server answers the request for a WebSocket with something else. `body` is what it says, at most 16 KiB.

    `headers` are by names in any case. `is_for_people`: it is the wrong server, path or question.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"it answers {status}")
        self.status, self.headers, self.body = status, headers, body

    @property
    def is_for_people(self) -> bool:
        return self.status < 500 and self.status not in PASSING


class _Connection(ClientConnection):
    def handshake(self, *arguments: Any, **others: Any) -> None:
        """The library would follow a redirect: what comes for hours shall come from where a person said."""
        try:
            super().handshake(*arguments, **others)
        except InvalidStatus as error:
            answer = error.response
            headers = CaseInsensitiveDict(answer.headers.raw_items())
            raise WebSocketRefused(answer.status_code, headers, bytes(answer.body or b"")[: 16 * 1024]) from None


class WebSocket:
    """It connects when it is entered: raises `WebSocketRefused` or `LongReadFailed`, as a redirect does.

    `message_bytes_max`: of one message; a longer one ends the connection. `wake` is for any thread, at any time.
    """

    def __init__(
        self, url: str, *, message_bytes_max: int, subprotocol: str | None = None, connect_s: float = CONNECT_S
    ) -> None:
        self._url, self._connect_s = url, connect_s
        self._message_bytes_max, self._subprotocol = message_bytes_max, subprotocol
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_woken = False
        self._connection: ClientConnection | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> WebSocket:
        try:
            self._connection = self._stack.enter_context(self._connect())
        except WebSocketRefused as refused:
            if 300 <= refused.status < 400:
                raise redirected(refused.status, self._url, refused.headers.get("Location", "")) from None
            raise
        except ConfigError as error:
            raise LongReadFailed(error.detail, "refused") from None
        except TimeoutError:
            raise self._failed("it did not answer in time", "stalled") from None
        except ssl.SSLCertVerificationError as error:
            raise self._failed(f"its certificate is not trusted: {error.verify_message}", "refused") from None
        except (OSError, EOFError, WebSocketException) as error:
            raise self._failed(f"{_in_words(error)}{by_way_of(self._url_of_http)}", "refused") from None
        except ValueError:  # of a name that cannot be one, as a..b
            raise self._failed("it is no URL of ws:// or wss://", "refused") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def receive(self, within_s: float) -> bytes | None:
        """The next message, whole; None if there was none within the time. Raises `LongReadFailed` at the end."""
        assert self._connection is not None, "it is entered first"
        try:
            message = self._connection.recv(timeout=within_s, decode=False)
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            raise self._failed(_closed_in_words(error), "hung_up") from None
        assert isinstance(message, bytes)  # `decode=False`
        return message

    def send(self, text: str) -> None:
        assert self._connection is not None, "it is entered first"
        try:
            self._connection.send(text)
        except (ConnectionClosed, OSError):
            raise self._failed("the connection broke", "hung_up") from None

    def wake(self) -> None:
        """Whoever connects or receives gets `LongReadFailed` (closed) soon."""
        with self._lock:
            self._is_woken = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def _url_of_http(self) -> str:
        """What ws:// and wss:// are to proxies."""
        return self._url.replace("ws", "http", 1)

    def _connect(self) -> ClientConnection:
        proxy = proxy_for(self._url_of_http, os.environ)
        asked: dict[str, Any] = {
            "proxy": None if proxy is None else proxy.url,
            "ssl": _trust(os.environ) if self._url.startswith("wss") else None,
            "subprotocols": [self._subprotocol] if self._subprotocol else None,
            "compression": None,
            "user_agent_header": f"quorate/{quorate.__version__}",
            "open_timeout": self._connect_s,
            "close_timeout": CLOSE_S,
            "ping_interval": PING_S,
            "ping_timeout": PING_S,
            "max_size": self._message_bytes_max,
            "max_queue": FRAMES_AHEAD,
            "create_connection": self._made,
        }
        made: ClientConnection = connect(self._url, **asked)
        return made

    def _made(self, sock: socket.socket, *arguments: Any, **others: Any) -> ClientConnection:
        with self._lock:
            self._socket = sock
            if self._is_woken:
                sock.close()
                raise OSError("closed")
        return _Connection(sock, *arguments, **others)

    def _failed(self, why: str, reason: Reason) -> LongReadFailed:
        return LongReadFailed("it was closed here", "closed") if self._is_woken else LongReadFailed(why, reason)


def _trust(env: os._Environ[str]) -> ssl.SSLContext:
    """The same authorities as for HTTP: those of the host, or a bundle that the environment names."""
    return ssl.create_default_context(cafile=env.get("REQUESTS_CA_BUNDLE") or env.get("CURL_CA_BUNDLE") or None)


def _in_words(error: Exception) -> str:
    if isinstance(error, ProxyError):
        return "the proxy refuses it"
    if isinstance(error, socket.gaierror):
        return "its name cannot be looked up; is it right?"
    if isinstance(error, ssl.SSLError):
        return "it speaks no TLS; is its address ws:// instead of wss://?"
    if isinstance(error, OSError) and not isinstance(error, ConnectionResetError):
        return "it cannot be reached"
    return "it speaks no WebSocket; is its address right?"


def _closed_in_words(error: ConnectionClosed) -> str:
    received, sent = error.rcvd, error.sent
    if received is not None and received.code == 1000:
        return "the server ended the connection"
    if received is not None:
        return f"the server ended the connection, with code {received.code}"
    if sent is not None and sent.code == 1009:
        return "it sent a message that is too long"
    if sent is not None and sent.code == 1011:
        return "it did not answer to a ping"
    return "the connection broke"
