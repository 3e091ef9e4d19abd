"""Connections whose failures before the request are told from those after it.

A request over a connection that was not made, with its TLS and its way through a proxy, was surely not sent. urllib3
tells a failed handshake, and a proxy that refuses, like a connection that broke later: the outcome would be unknown.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError

NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}

HUNG_UP = "it hung up before TLS began; is its address http:// instead of https://?"


class NotMade(NewConnectionError):
    """The connection was begun and not made. `why` is for people."""

    def __init__(self, connection: HTTPSConnection, why: str) -> None:
        super().__init__(connection, why)
        self.why = why


class WebConnection(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (NewConnectionError, ConnectTimeoutError):
            raise
        except (ssl.SSLError, SSLError) as error:
            self.close()
            raise NotMade(self, _in_words(error)) from error
        except OSError as error:
            self.close()
            raise NotMade(self, _of_the_way(error)) from error


class _Pool(HTTPSConnectionPool):
    ConnectionCls = WebConnection


class WebAdapter(HTTPAdapter):
    """`pools`: other classes for the pools of connections, by scheme."""

    def __init__(self, *, pools: Mapping[str, type[HTTPConnectionPool]] | None = None, **others: Any) -> None:
        self._pools = {"https": _Pool} if pools is None else pools
        super().__init__(**others)

    def init_poolmanager(self, *arguments: Any, **others: Any) -> None:
        super().init_poolmanager(*arguments, **others)
        self._use_our_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **others: Any) -> Any:
        made = super().proxy_manager_for(proxy, **others)
        self._use_our_pools(made)
        return made

    def _use_our_pools(self, manager: PoolManager) -> None:
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, **self._pools}


def _in_words(error: Exception) -> str:
    cause = error if isinstance(error, ssl.SSLError) else next(iter(error.args), error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if getattr(cause, "reason", None) in NOT_TLS:
        return "it speaks no TLS; is its address http:// instead of https://?"
    if isinstance(cause, ssl.SSLEOFError):
        return HUNG_UP
    return f"TLS failed: {getattr(cause, 'reason', None) or cause}"


def _of_the_way(error: OSError) -> str:
    """http.client tells what a proxy answers to CONNECT as an OSError without a number."""
    refused = str(error).partition("Tunnel connection failed: ")[2]
    if refused:
        return f"the proxy answers {refused}"
    if isinstance(error, TimeoutError):
        return "no TLS within the time; is its address http:// instead of https://?"
    return HUNG_UP
