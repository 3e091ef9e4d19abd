"""HTTPS connections whose failures before the request are told from those after it.

A request over a connection that was not made, TLS included, was surely not sent. urllib3 tells a failed TLS handshake
like a connection that broke later, which leaves the outcome unknown.
"""

from __future__ import annotations

import ssl

from requests.adapters import HTTPAdapter
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import NewConnectionError, SSLError

NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}


class NoTls(NewConnectionError):
    """The connection was made, but no TLS on it. `why` is for people."""

    def __init__(self, connection: HTTPSConnection, why: str) -> None:
        super().__init__(connection, why)
        self.why = why


class _Connection(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (ssl.SSLError, SSLError) as error:
            self.close()
            raise NoTls(self, _in_words(error)) from error


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


class HttpsAdapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: object, **others: object) -> None:
        super().init_poolmanager(*arguments, **others)  # type: ignore[arg-type] # passed on as they come
        self.poolmanager.pool_classes_by_scheme = {**self.poolmanager.pool_classes_by_scheme, "https": _Pool}


def _in_words(error: Exception) -> str:
    cause = error if isinstance(error, ssl.SSLError) else next(iter(error.args), error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if getattr(cause, "reason", None) in NOT_TLS:
        return "it speaks no TLS; is its address http:// instead of https://?"
    return f"TLS failed: {getattr(cause, 'reason', None) or cause}"
