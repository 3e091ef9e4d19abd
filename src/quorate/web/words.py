"""Why a request got no answer, in one line for people: the texts of requests are long and name Python objects."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
)

from quorate.errors import ConfigError
from quorate.web.connecting import NotMade
from quorate.web.proxies import proxy_for

TLS_RECORDS = ("\x15\x03", "\x16\x03")  # an alert, and a handshake: how a server that expects TLS answers plain HTTP
PROBE_S = 1.0
GREETING_S = 0.2  # it delays the next attempt after each connection that broke
PLAIN = "it cannot be reached"
SPEAKS_TLS = "it speaks TLS; is its address https:// instead of http://?"
NO_HTTP = "it speaks no HTTP; is it a port for something else, as raft.listen is? A node's own for HTTP is 8001 or so"


def why_not_asked(error: requests.RequestException, url: str) -> str:
    by = by_way_of(url)
    if isinstance(error, requests.Timeout):
        why = "it did not answer in time"
    elif made_no_connection(error):
        why = why_no_connection(error)
    elif not by and speaks_tls(error, url):
        why = SPEAKS_TLS
    elif not by and speaks_no_http(error, url):
        why = NO_HTTP
    elif isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        why = "it is no URL of http:// or https://"
    else:
        why = "the connection broke"
    return f"{why}{by}"


def by_way_of(url: str) -> str:
    """The proxy, if one is used, and how to do without."""
    try:
        proxy = proxy_for(url, os.environ)
    except ConfigError:
        return ""
    if proxy is None:
        return ""
    return f" (asked through {proxy}; to ask it directly, add {urlsplit(url).hostname} to NO_PROXY)"


def made_no_connection(error: requests.RequestException) -> bool:
    """Whether the request surely was not sent. urllib3 says `ProxyError` only of what failed before that."""
    not_made = NewConnectionError | ConnectTimeoutError | ProxyError
    return isinstance(error, requests.ConnectTimeout) or isinstance(_reason(error), not_made)


def why_no_connection(error: requests.RequestException) -> str:
    reason = _reason(error)
    inner = getattr(reason, "original_error", reason)  # what a ProxyError is about
    if isinstance(inner, NotMade):
        return inner.why
    if isinstance(inner, NameResolutionError):
        return "its name cannot be looked up; is it right?"
    return "the proxy cannot be reached" if isinstance(reason, ProxyError) else PLAIN


def speaks_tls(error: requests.RequestException, url: str) -> bool:
    """Whether plain HTTP came to a server that expects TLS: such a server cannot have read the request.

    Some answer by TLS. Others only hang up, so they are asked by TLS whether they speak it.
    """
    inner = _aborted_by(error)
    if isinstance(inner, http.client.RemoteDisconnected | ConnectionError):
        return url.startswith("http://") and _takes_tls(url)
    return isinstance(inner, http.client.BadStatusLine) and str(inner).startswith(TLS_RECORDS)


def speaks_no_http(error: requests.RequestException, url: str) -> bool:
    """Whether what answered is no HTTP server at all: such a server cannot have taken the bytes for a request.

    Some hang up so soon that their answer is lost. They are asked whether they speak first, as no HTTP server does.
    """
    inner = _aborted_by(error)
    if isinstance(inner, http.client.RemoteDisconnected | ConnectionError):
        return url.startswith("http://") and _speaks_first(url)
    if not isinstance(inner, http.client.BadStatusLine):
        return False
    line = str(inner)  # of an empty line: two quotes
    return bool(line.strip("' ")) and not line.startswith(("HTTP", *TLS_RECORDS))


def _aborted_by(error: requests.RequestException) -> object:
    cause = error.args[0] if error.args else None
    return cause.args[1] if isinstance(cause, ProtocolError) and len(cause.args) > 1 else None


def _takes_tls(url: str) -> bool:
    parts = urlsplit(url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent but the question
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PROBE_S) as sock:
            sock.settimeout(PROBE_S)
            with context.wrap_socket(sock, server_hostname=parts.hostname):
                return True
    except OSError:
        return False


def _speaks_first(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=GREETING_S) as sock:
            sock.settimeout(GREETING_S)
            return bool(sock.recv(1))
    except OSError:
        return False


def _reason(error: requests.RequestException) -> object:
    cause = error.args[0] if error.args else None
    return getattr(cause, "reason", cause)
