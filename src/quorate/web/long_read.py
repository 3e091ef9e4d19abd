"""One request whose answer is read for hours: piece by piece, with a limit for silence, and ended from any thread."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from quorate.errors import ConfigError
from quorate.shown import name
from quorate.web.open_sockets import OpenSockets, pools_by_scheme
from quorate.web.session import WebSession
from quorate.web.wait_limit import WaitLimit
from quorate.web.words import by_way_of, made_no_connection, why_not_asked

CONNECT_S = 10.0
ERROR_S = 5.0
PIECE_BYTES = 64 * 1024
PIECES_APART = 2.0  # silences: bytes may come that bring nothing, as an end of a chunk, or of what was compressed
ERROR_BYTES_MAX = 16 * 1024
UNDONE = ("", "identity", "gzip", "x-gzip", "deflate", "zstd")

Reason = Literal["refused", "redirected", "stalled", "hung_up", "closed"]


class LongReadFailed(OSError):
    """No answer, or one that broke off. `str()` says why, for people.

    - refused: no connection was made, or what answers speaks no HTTP
    - redirected: the answer is somewhere else
    - stalled: nothing came within the time
    - hung_up: the connection broke, or what came cannot be read
    - closed: `wake` was called
    """

    def __init__(self, why: str, reason: Reason) -> None:
        super().__init__(why)
        self.reason = reason

    @property
    def stalled(self) -> bool:
        return self.reason == "stalled"


def redirected(status: int, url: str, place: str) -> LongReadFailed:
    """`place` is told without its query, which may hold a secret."""
    try:
        parts = urlsplit(urljoin(url, place))
    except ValueError:
        place = ""
    elsewhere = f" to {name(f'{parts.scheme}://{parts.netloc}{parts.path}')}; give that URL" if place else ""
    return LongReadFailed(f"it answers {status} and redirects{elsewhere}", "redirected")


class _SessionWithoutRedirects(WebSession):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None. Even with `allow_redirects=False` requests would read that answer whole, and it may never end."""


class LongRead:
    """The request is sent when it is entered; `wake` may be called before that, and at any time, from any thread.

    `ca`: a file of the certificates whose signature is trusted, and no other.
    `silence_s`: the longest time without any byte, and until the answer begins. Compression is undone on the way
    (gzip, deflate, zstd). A redirect fails: what comes for hours shall come from where a person said.
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
        json: Any = None,
        auth: AuthBase | None = None,
        ca: str | None = None,
        timeout_connect_s: float = CONNECT_S,
    ) -> None:
        self._url = url
        self._sockets = OpenSockets()
        self._session = _SessionWithoutRedirects(origins=1, pools=pools_by_scheme(self._sockets))
        if ca is not None:
            self._session.verify = ca
        self._asked: dict[str, Any] = {"headers": dict(headers or {}), "params": params, "auth": auth}
        self._asked |= {"data": data, "json": json}
        self._method, self._connect_s, self._silence_s = method, timeout_connect_s, silence_s
        self._is_late = False
        self._limit = WaitLimit(PIECES_APART * silence_s, self._be_late)
        self._received: requests.Response | None = None

    def __enter__(self) -> LongRead:
        try:
            with self._within(self._connect_s + self._silence_s):
                self._received = self._ask()
            self._check()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def status(self) -> int:
        return self._answer.status_code

    @property
    def headers(self) -> CaseInsensitiveDict[str]:
        return self._answer.headers

    def pieces(self) -> Iterator[bytes]:
        """What comes, as it comes, never empty, at most 64 KiB at once. Ends where the answer ends."""
        raw = self._answer.raw
        while True:
            try:
                with self._limit.waiting():
                    piece = raw.read1(PIECE_BYTES, decode_content=True)
            except Exception as error:  # urllib3's, http.client's and the socket's own
                raise self._broken(error) from None
            if not piece:
                break
            yield piece
        if self._sockets.is_shut:
            raise self._broken(None)  # the end of an answer without a length, as it was shut here

    def body(self, bytes_max: int, within_s: float) -> bytes:
        """The whole answer, of a request that is answered at once."""
        body = bytearray()
        with self._within(within_s):
            for piece in self.pieces():
                body += piece
                if len(body) > bytes_max:
                    raise LongReadFailed(f"its answer is longer than {bytes_max:,} bytes", "refused")
        return bytes(body)

    def error_body(self) -> bytes:
        """The beginning of an answer that says why it is refused, as far as it comes within a few seconds."""
        body = bytearray()
        with contextlib.suppress(LongReadFailed), self._within(ERROR_S):
            for piece in self.pieces():
                body += piece
                if len(body) >= ERROR_BYTES_MAX:
                    break
        return bytes(body[:ERROR_BYTES_MAX])

    def wake(self) -> None:
        """Whoever connects, waits or reads gets `LongReadFailed` (closed) now."""
        self._sockets.shut()

    def close(self) -> None:
        """Only for the thread that reads."""
        self._limit.stop()
        self._sockets.shut()
        if self._received is not None:
            self._received.close()
        self._session.close()
        self._sockets.close()

    @property
    def _answer(self) -> requests.Response:
        assert self._received is not None, "it is entered first"
        return self._received

    def _ask(self) -> requests.Response:
        try:
            return self._session.request(
                self._method,
                self._url,
                stream=True,
                timeout=(self._connect_s, self._silence_s),
                **self._asked,
            )
        except ConfigError as error:
            raise LongReadFailed(error.detail, "refused") from None
        except requests.exceptions.InvalidHeader:
            raise LongReadFailed("a header holds a line break, perhaps one in a token", "refused") from None
        except requests.RequestException as error:
            raise self._not_answered(error) from None
        except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            raise self._broken(error) from None  # these two sorts of requests lets pass
        except ValueError:
            raise LongReadFailed("it is no URL of http:// or https://", "refused") from None

    def _not_answered(self, error: requests.RequestException) -> LongReadFailed:
        if self._sockets.is_shut:
            return self._broken(error)
        silent = isinstance(error, requests.ReadTimeout)
        never_sent = made_no_connection(error) or isinstance(error, ValueError)  # of requests: no URL
        reason: Reason = "stalled" if silent else "refused" if never_sent else "hung_up"
        return LongReadFailed(why_not_asked(error, self._url), reason)

    def _check(self) -> None:
        if 300 <= self.status < 400:
            raise redirected(self.status, self._url, self.headers.get("Location", ""))
        used = [each.strip().lower() for each in self.headers.get("Content-Encoding", "").split(",")]
        unknown = [each for each in used if each not in UNDONE]
        if unknown:
            raise LongReadFailed(f"it answers in {name(unknown[0])}, which was not asked for", "refused")

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """A server that sends a byte now and then is never silent, and never done."""
        timer = threading.Timer(seconds, self._be_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _be_late(self) -> None:
        self._is_late = True
        self._sockets.shut()

    def _broken(self, error: Exception | None) -> LongReadFailed:
        if self._is_late or isinstance(error, urllib3.exceptions.ReadTimeoutError):
            return LongReadFailed(f"nothing came within the time{by_way_of(self._url)}", "stalled")
        if self._sockets.is_shut:
            return LongReadFailed("it was closed here", "closed")
        if isinstance(error, urllib3.exceptions.DecodeError):
            return LongReadFailed("what it compressed cannot be read", "hung_up")
        return LongReadFailed(f"the connection broke{by_way_of(self._url)}", "hung_up")
