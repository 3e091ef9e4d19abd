"""What a failed request surely did not do, by the errors of requests and urllib3."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading

import pytest
import requests
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
)

from quorate.web.words import made_no_connection, speaks_no_http, why_not_asked

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


def test_a_name_that_nobody_knows_is_told() -> None:
    """It is the likeliest mistake in a URL that was typed."""
    unknown = NameResolutionError("nosuch.invalid", HTTPConnection("n1.example"), socket.gaierror(-2, "not known"))
    error = failed(unknown)
    assert isinstance(error, requests.RequestException)
    assert "its name cannot be looked up; is it right?" == why_not_asked(error, "http://nosuch.invalid:8001")


@pytest.mark.parametrize(
    ("cause", "no_http"),
    [
        (http.client.BadStatusLine("\x00\x00\x00(\x94\x01\xa2n1"), True),
        (http.client.BadStatusLine("SSH-2.0-OpenSSH_9.2"), True),
        (http.client.BadStatusLine("HTTP/1.1 2x0 OK"), False),
        (http.client.BadStatusLine("\x15\x03\x01"), False),
        (http.client.BadStatusLine(""), False),
        (http.client.RemoteDisconnected("gone"), False),
        (ConnectionResetError(104, "reset"), False),
    ],
    ids=["a port for nodes", "ssh", "garbled HTTP", "TLS", "nothing", "a broken connection", "a reset"],
)
def test_a_server_that_speaks_no_http_cannot_have_read_the_request(cause: Exception, no_http: bool) -> None:
    error = requests.ConnectionError(ProtocolError("Connection aborted.", cause))
    assert no_http is speaks_no_http(error, "http://127.0.0.1:1")


@pytest.mark.parametrize(("greeting", "no_http"), [(b"\x00\x00\x00(", True), (b"", False)], ids=["greets", "waits"])
def test_a_server_that_hung_up_is_asked_whether_it_speaks_first(greeting: bytes, no_http: bool) -> None:
    """A node's port for nodes: its greeting is lost when it hangs up before the whole request came."""
    error = requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=_greet, args=(listening, greeting))
        thread.start()
        assert no_http is speaks_no_http(error, url)
        thread.join()


def _greet(listening: socket.socket, greeting: bytes) -> None:
    accepted, _ = listening.accept()
    with accepted, contextlib.suppress(ConnectionError):
        accepted.sendall(greeting)
        accepted.recv(1)  # the other end hangs up
