"""One request whose answer is read for hours: piece by piece, with a limit for silence, and closed from any thread."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import requests
from requests.auth import AuthBase

from quorate.errors import ConfigError
from quorate.web.session import WebSession
from quorate.web.words import why_not_asked

CONNECT_S = 10.0
PIECE_BYTES = 64 * 1024
ERROR_BYTES_MAX = 16 * 1024


class LongReadFailed(OSError):
    """No connection, or it broke. `stalled`: nothing came within the time."""

    def __init__(self, why: str, *, stalled: bool = False) -> None:
        super().__init__(why)
        self.stalled = stalled


class LongRead:
    """`silence_s`: the longest time without any byte. gzip is undone on the way, if the server chose it.

    `status`, `headers` are those of the answer. `error_body` is the beginning of an answer that is not 200.
    """

    def __init__(
        self,
        method: str,
        url: str,
        *,
        silence_s: float,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, str] | None = None,
        auth: AuthBase | None = None,
        timeout_connect_s: float = CONNECT_S,
    ) -> None:
        self._session = WebSession(origins=1)
        try:
            self._answer = self._session.request(
                method,
                url,
                headers=dict(headers or {}),
                params=params,
                data=data,
                auth=auth,
                stream=True,
                timeout=(timeout_connect_s, silence_s),
                allow_redirects=False,
            )
        except ConfigError as error:
            self._session.close()
            raise LongReadFailed(error.detail) from None
        except requests.RequestException as error:
            self._session.close()
            raise LongReadFailed(why_not_asked(error, url), stalled=isinstance(error, requests.ReadTimeout)) from None
        self.status = self._answer.status_code
        self.headers = self._answer.headers

    def __enter__(self) -> LongRead:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def pieces(self) -> Iterator[bytes]:
        """What comes, as it comes. Ends where the answer ends. Raises `LongReadFailed` if it breaks or falls silent."""
        raw = self._answer.raw
        try:
            while piece := raw.read1(PIECE_BYTES, decode_content=True):
                yield piece
        except Exception as error:  # urllib3's, http.client's and the socket's own, also after `close`
            silent = "timed out" in str(error).lower()
            raise LongReadFailed("nothing came within the time" if silent else "it broke", stalled=silent) from None

    def error_body(self) -> bytes:
        with contextlib.suppress(LongReadFailed):
            for piece in self.pieces():
                return piece[:ERROR_BYTES_MAX]
        return b""

    def wake(self) -> None:
        """From any thread: whoever reads gets `LongReadFailed` now, or the end."""
        connection = getattr(self._answer.raw, "_connection", None)
        sock = getattr(connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.wake()
        self._answer.close()
        self._session.close()
