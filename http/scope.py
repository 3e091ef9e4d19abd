"""Reads a request's path, query and headers from the scope that ASGI gives of it."""

from __future__ import annotations

from typing import Any

from quorate.doors.access import Access
from quorate.errors import Invalid
from quorate.http.request import Request, check_coding
from quorate.security.caller import Caller
from quorate.security.roles import RouteRole

Scope = dict[str, Any]

CALLER = "quorate.caller"  # the scope's key for the caller of a request
CODINGS = (b"content-encoding", b"transfer-encoding")


def read_headers(request: Request, scope: Scope) -> bytes | None:
    """Fill in the request from the headers of a POST. Returns the Content-Length."""
    length: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = value
        elif name == b"content-type":
            request.content_type = value.decode("latin-1")
        elif name in CODINGS:
            check_coding(value.decode("latin-1"))
        elif name == b"idempotency-key":
            request.idempotency_key = _once(request.idempotency_key, value)
        elif name == b"x-quorate-producer":
            request.producer = _once(request.producer, value)
    return length


def caller_of(scope: Scope, access: Access, needed: RouteRole) -> Caller:
    """Raises what `Access.admit` raises, and `Invalid` for two Authorization headers."""
    client = scope["client"]
    credentials = _credentials(scope) if access.knows_tokens else None
    return access.admit(needed, client[0] if client else "", credentials)


def query_of(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    if not query.isascii():
        raise Invalid("the query has bytes that are not ASCII; percent-encode them")
    return query.decode("ascii")


def _credentials(scope: Scope) -> bytes | None:
    """The Authorization header. Raises `Invalid` if there are two, since nobody could tell which of them is meant."""
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None:
                raise Invalid("Authorization is given twice; give it once")
            found = value
    return found


def _once(before: str | None, value: bytes) -> str:
    """Read a header that decides whether a vote counts. It must be given once, in UTF-8."""
    if before is not None:
        raise Invalid("Idempotency-Key or X-Quorate-Producer is given twice")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Invalid("Idempotency-Key and X-Quorate-Producer are UTF-8") from None


def length_of(scope: Scope) -> bytes | None:
    """The Content-Length of a request for Flask. Refuses a body that is compressed."""
    length: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = value
        elif name in CODINGS:
            check_coding(value.decode("latin-1"))
    return length


def without_last_slash(scope: Scope) -> str:
    """The path, which is the same with a slash at its end for every route. `%2F` there is part of an id, and stays."""
    path: str = scope["path"]
    if path.endswith("/") and len(path) > 1 and path[-2] != "/" and scope["raw_path"].endswith(b"/"):
        scope["path"] = path = path[:-1]
    return path
