"""What a failed request surely did not do, by the errors of requests and urllib3."""

from __future__ import annotations

import pytest
import requests
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
)

from quorate.web.words import made_no_connection, why_not_asked

POOL = HTTPConnectionPool("n1.example")
NOT_MADE = NewConnectionError(HTTPConnection("n1.example"), "refused")
TOO_SLOW = ConnectTimeoutError(HTTPConnection("n1.example"), "too slow")


def failed(reason: Exception, kind: type[requests.RequestException] = requests.ConnectionError) -> object:
    return kind(MaxRetryError(POOL, "/votes", reason))


@pytest.mark.parametrize(
    ("error", "surely"),
    [
        (failed(NOT_MADE), True),
        (failed(TOO_SLOW, requests.ConnectTimeout), True),
        (failed(ProxyError("no proxy", NOT_MADE), requests.exceptions.ProxyError), True),
        (failed(ProxyError("slow proxy", TOO_SLOW), requests.exceptions.ProxyError), True),
        (failed(ProxyError("broken proxy", ConnectionResetError()), requests.exceptions.ProxyError), True),
        (requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError())), False),
        (requests.ReadTimeout(ReadTimeoutError(POOL, "/votes", "too slow")), False),
        (requests.ConnectionError(HTTPError("what is this")), False),
        (requests.ConnectionError(), False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_was_surely_not_sent(error: requests.RequestException, surely: bool) -> None:
    assert surely == made_no_connection(error)
    assert why_not_asked(error, "http://127.0.0.1:1")
