"""The session by which a client for asyncio asks others over HTTP, by `aiohttp`. The rule for proxies is `proxies.py`.

It trusts what `WebSession` trusts, and tells a request that was surely not sent from one that may have been.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

try:
    import aiohttp
    from yarl import URL
except ImportError as missing:
    raise ImportError("AsyncClient needs aiohttp: install `quorate[async]`") from missing

from quorate.web.proxies import proxy_for
from quorate.web.words import PLAIN

AsyncReason = Literal["no_url", "refused", "stalled", "hung_up"]


class AsyncWebFailed(OSError):
    """No whole answer. `str()` says why, for people. Only after `refused` and `no_url` it surely was not sent."""

    def __init__(self, why: str, reason: AsyncReason) -> None:
        super().__init__(why)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class AsyncLimits:
    """`silence_s`: the longest time without a byte. `total_s`: the longest time for all of it; None: no limit."""

    connect_s: float
    total_s: float | None = None
    silence_s: float | None = None


class AsyncAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status, self.headers = response.status, response.headers

    async def body(self) -> bytes:
        with _failures():
            return await self._response.read()

    async def piece(self) -> bytes:
        """What has come, as soon as there is something. Empty: that was all."""
        with _failures():
            return await self._response.content.readany()


class AsyncWebSession:
    """It is made inside the event loop to which it belongs."""

    def __init__(self, headers: Mapping[str, str], *, ca: str | None = None) -> None:
        self._ca, self._context = ca, None if ca is None else ssl.create_default_context(cafile=ca)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[_noted_first_bytes()],
        )

    async def close(self) -> None:
        await self._session.close()

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: str, limits: AsyncLimits, headers: Mapping[str, str], data: bytes | None = None
    ) -> AsyncIterator[AsyncAnswer]:
        """`url` is sent as it is. Redirects are not followed. Raises `AsyncWebFailed`."""
        timeout = aiohttp.ClientTimeout(total=limits.total_s, sock_connect=limits.connect_s, sock_read=limits.silence_s)
        proxy, first = proxy_for(url, os.environ), _FirstByte()
        with _failures(first):
            response = await self._session.request(
                method,
                URL(url, encoded=True),
                data=data,
                headers=headers,
                timeout=timeout,
                proxy=None if proxy is None else proxy.url,
                ssl=self._trust() if url.startswith("https:") else True,
                allow_redirects=False,
                trace_request_ctx=first,
            )
        async with response:
            yield AsyncAnswer(response)

    def _trust(self) -> ssl.SSLContext:
        if self._context is None:
            import certifi

            bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
            self._context = ssl.create_default_context(cafile=bundle)
        return self._context


@dataclass(slots=True)
class _FirstByte:
    left: bool = False


def _noted_first_bytes() -> aiohttp.TraceConfig:
    """It notes in each request's `_FirstByte` that the first byte is about to leave."""

    async def begin(session: object, context: SimpleNamespace, params: object) -> None:
        context.trace_request_ctx.left = True

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(begin)
    return config


@contextlib.contextmanager
def _failures(first: _FirstByte | None = None) -> Iterator[None]:
    """`first`: of a request that may not have been sent yet."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        if isinstance(error, TimeoutError) and first is not None and not first.left:
            raise AsyncWebFailed(PLAIN, "refused") from None  # no name server answered, or no end of the handshake
        raise _failed(error) from None


def _failed(error: Exception) -> AsyncWebFailed:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):  # a ValueError, too
        return AsyncWebFailed(_untrusted(error.certificate_error), "refused")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError):
        return AsyncWebFailed(_why_not_made(error), "refused")
    if isinstance(error, ValueError):
        return AsyncWebFailed("it is no URL of http:// or https://", "no_url")
    if isinstance(error, TimeoutError):
        return AsyncWebFailed("it did not answer in time", "stalled")
    return AsyncWebFailed("the connection broke", "hung_up")


def _why_not_made(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be looked up; is it right?"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answers {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "the proxy cannot be reached"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "it speaks no TLS; is its address http:// instead of https://?"
    return PLAIN


def _untrusted(error: Exception) -> str:
    said = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
    return f"its certificate is not trusted: {said}"
