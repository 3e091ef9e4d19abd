"""Connections whose failures before the request are told from those after it.

A request over a connection that was not made, with its TLS and its way through a proxy, was surely not sent. urllib3
tells a failed handshake, and a proxy that refuses, like a connection that broke later: the outcome would be unknown.
"""

from __future__ import annotations

import ssl
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError

NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}

HUNG_UP = "it hung up before TLS began; is its address http:// instead of https://?"


class NotMade(NewConnectionError):
    """The connection was begun and not made. `why` is for people."""

    def __init__(self, connection: HTTPSConnection, why: str) -> None:
        super().__init__(connection, why)
        self.why = why


class _Connection(HTTPSConnection):
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
    ConnectionCls = _Connection


class WebAdapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **others: Any) -> None:
        super().init_poolmanager(*arguments, **others)
        _use_our_pool(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **others: Any) -> Any:
        made = super().proxy_manager_for(proxy, **others)
        _use_our_pool(made)
        return made


def _use_our_pool(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": _Pool}


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
