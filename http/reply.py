"""Makes HTTP replies from results and errors, for both doors.

Every reply names the node that served it and the leader that this node knows. If state was read or changed, the reply
also has its version. Errors are RFC 9457 problem documents. An unexpected error is logged once with its traceback; the
client learns nothing about it.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from quorate import shown
from quorate.cluster.replica import Replica
from quorate.errors import OutcomeUnknown, QuorateError, Unauthorized
from quorate.words import doubt_about

JSON = b"application/json"
NDJSON = b"application/x-ndjson"
PROBLEM = b"application/problem+json"
TEXT = b"text/plain; charset=utf-8"

VERSION = b"x-quorate-version"
CHALLENGE = b'Bearer realm="quorate"'  # RFC 6750
CHALLENGES = {"unknown": CHALLENGE + b', error="invalid_token"'}

Headers = list[tuple[bytes, bytes]]

AGAIN = "send it again"  # nodes of 0.1.0 say so in the detail

log = logging.getLogger(__name__)
encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Reply:
    status: int
    body: bytes
    content_type: bytes = JSON
    version: int | None = None
    more: tuple[tuple[bytes, bytes], ...] = ()


def reply(value: Any, *, status: int = 200, version: int | None = None) -> Reply:
    return Reply(status, encode(value) + b"\n", JSON, version)  # the newline is for people who use curl


def text(lines: str, *, status: int = 200) -> Reply:
    return Reply(status, lines.encode(), TEXT)


def signature(replica: Replica) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that name this node and the leader. The leader is empty if this node knows none."""
    return _signature(replica.node_id, replica.leader)


@lru_cache(maxsize=64)
def _signature(node_id: str, leader: str | None) -> tuple[tuple[bytes, bytes], ...]:
    return (b"x-quorate-node", node_id.encode()), (b"x-quorate-leader", shown.name(leader or "").encode())


def headers_of(reply: Reply, replica: Replica) -> Headers:
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", b"%d" % len(reply.body)),
        *signature(replica),
    ]
    if reply.version is not None:
        headers.append((VERSION, b"%d" % reply.version))
    if reply.more:
        headers.extend(reply.more)
    return headers


def problem(error: QuorateError, instance: str, *, version: int | None = None) -> Reply:
    """The reply for an error. Its `retry` says what sending the request again would do:

    `no`: it would get the same answer. `safe`: the request surely had no effect, so it may be sent again. `same-id`:
    the request may have been counted, so it may be sent again only under the same id.
    """
    title, detail = _words(error, instance)
    document = {
        "type": error.kind,
        "title": title,
        "status": error.status,
        "detail": detail,
        "instance": instance,
        "definite": error.definite,
        "retry": _retry(error),
        **error.fields,
    }
    more: list[tuple[bytes, bytes]] = []
    if error.retry_after_s is not None:
        document["retry_after_s"] = error.retry_after_s
        more.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))  # RFC 9110: whole seconds
    if isinstance(allow := error.fields.get("allow"), list):
        more.append((b"allow", ", ".join(allow).encode()))
    if isinstance(error, Unauthorized):
        more.append((b"www-authenticate", CHALLENGES.get(error.fields.get("token", ""), CHALLENGE)))
    if isinstance(codings := error.fields.get("accept_encoding"), str):
        more.append((b"accept-encoding", codings.encode()))  # RFC 7694
    return Reply(error.status, encode(document) + b"\n", PROBLEM, version or error.fields.get("version"), tuple(more))


def _words(error: QuorateError, path: str) -> tuple[str, str]:
    """Title and detail. If the outcome is unknown, they speak of what was asked: the rooms below do not know it."""
    doubt = doubt_about(path) if isinstance(error, OutcomeUnknown) else None
    if doubt is None:
        return error.title, error.detail
    return doubt.title, error.detail if AGAIN in error.detail else f"{error.detail}; {doubt.advice}"


def _retry(error: QuorateError) -> str:
    if not error.definite:
        return "same-id"
    return "no" if error.retry_after_s is None else "safe"


def internal(error: BaseException, instance: str) -> Reply:
    """The reply for an unexpected error: the log gets the details, the client does not."""
    log.error("a request to %s failed unexpectedly; answered 500", instance, exc_info=error)
    return problem(
        Unexpected("the node's log has the details; the request may or may not have had its effect"), instance
    )


class Unexpected(QuorateError):
    definite = False
