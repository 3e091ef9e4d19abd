"""The error of `quorate.errors` that a node's answer means, or that the lack of an answer means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from quorate import errors
from quorate.errors import Invalid, MethodNotAllowed, NoLeader, NotFound, OutcomeUnknown, QuorateError
from quorate.unreadable import UNREADABLE
from quorate.web.words import (
    NO_HTTP,
    PLAIN,
    SPEAKS_TLS,
    made_no_connection,
    speaks_no_http,
    speaks_tls,
    why_no_connection,
)

NOT_FIELDS = {
    "title",
    "status",
    "instance",
    "definite",
    "retry",
}  # members of a problem document that an error keeps elsewhere

NO_ROUTE = "there is nothing at "  # what a node says of an address that it does not have

HTTPS_PORT = "this is an HTTPS port"  # what a node answers to plain HTTP where it speaks TLS
UNKNOWN_ISSUER = re.compile(r"not trusted: .*(issuer|self.signed)")

# What nginx, Apache and Go's servers answer to plain HTTP on a port for TLS.
WANTS_TLS = re.compile(rb"HTTPS port|HTTPS server|SSL-enabled server port")


class Unreached(NoLeader):
    """No connection to the node could be made."""

    title = "Nobody was reached"


class NoNode(QuorateError):
    """Something else than a node answered, and surely did not pass the request on."""

    title = "This is no answer of a node"


def answer_error(status: int, body: bytes, headers: Mapping[str, str], node: str, by: str = "") -> QuorateError:
    """The error that an answer means. An answer without a problem document comes from a proxy.

    `by` says in words by which proxy the client itself asked.
    """
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
        kind, detail = errors.kind_from(str(problem.pop("type")).rpartition("/")[2]), str(problem.pop("detail", ""))
    except (*UNREADABLE, KeyError):
        return _error_without_problem(status, body, node, by)
    if status == 400 and detail.startswith(HTTPS_PORT):
        return Unreached(f"{node} cannot be reached: {SPEAKS_TLS}")
    known = errors.class_of(kind)
    error = (known or QuorateError)(detail, **{k: v for k, v in problem.items() if k not in NOT_FIELDS})
    if (retry_after := headers.get("Retry-After", "")).replace(".", "", 1).isdigit():
        error.fields["retry_after_s"] = float(retry_after)
    if known is None:  # an error that only a newer version knows: keep its own words
        error.kind, error.title = kind, str(problem.get("title", error.title))
    error.status = status
    if isinstance(error, NotFound) and urlsplit(node).path:
        error.detail += f". --node {node} has a path of its own; is that right?"
    elif isinstance(error, MethodNotAllowed) or error.detail.startswith(NO_ROUTE):
        error.detail += ". Does that node run an older version of Quorate?"
    error.definite = problem.get("definite", error.definite) is True
    return error


def _error_without_problem(status: int, body: bytes, node: str, by: str) -> QuorateError:
    if status == 400 and WANTS_TLS.search(body):  # by a server that did not take plain HTTP for a request
        return Unreached(f"{node} cannot be reached: {SPEAKS_TLS}")
    if status >= 500:  # also 503: Envoy says that of a request that it had passed on
        return OutcomeUnknown(f"{node} answered {status}; it may or may not have reached a node{by}")
    if status == 407:
        return Unreached(f"{node} cannot be reached: the proxy wants a name and a password{by}")
    return NoNode(f"{node} answered {status} and not as a Quorate node does; is the URL right?{by}")


def transport_error(node: str, error: requests.RequestException, by: str = "") -> QuorateError:
    """A request that was refused or never sent had no effect. After that, the effect is unknown."""
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return Invalid(f"{node!r} is no node's URL; give one as http://127.0.0.1:8001")
    if made_no_connection(error):
        by += _without_port(node)
        why = why_no_connection(error)
        if UNKNOWN_ISSUER.search(why):
            why += "; name the authority that signed it by --ca (QUORATE_CA)"
        return Unreached(f"{node} cannot be reached{by}" if why == PLAIN else f"{node} cannot be reached: {why}{by}")
    if not by and speaks_tls(error, node):
        return Unreached(f"{node} cannot be reached: {SPEAKS_TLS}{by}")
    if not by and speaks_no_http(error, node):
        return Unreached(f"{node} cannot be reached: {NO_HTTP}")
    if isinstance(error, requests.Timeout):
        return OutcomeUnknown(f"{node} did not answer in time{by}")
    return OutcomeUnknown(f"{node} broke the connection{by}")


def _without_port(node: str) -> str:
    parts = urlsplit(node)
    port = {"http": 80, "https": 443}.get(parts.scheme)
    return "" if parts.port is not None else f" (it gives no port, so {port} was asked; a node's own is 8001 or so)"


def worth_another_try(error: QuorateError) -> bool:
    return error.status in (429, 503) or not error.definite
