"""From outcomes and errors to HTTP replies: the one place that renders either, for both doors.

Every reply says who served it and whom this node believes to lead; where state was read or changed, at which version.
Errors are RFC 9457 problem documents. What failed unexpectedly is logged once, with its traceback, and tells the client
nothing of the inside.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from quorate.cluster.replica import Replica
from quorate.errors import QuorateError

JSON = b"application/json"
NDJSON = b"application/x-ndjson"
PROBLEM = b"application/problem+json"
TEXT = b"text/plain; charset=utf-8"

Headers = list[tuple[bytes, bytes]]

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
    return Reply(status, encode(value) + b"\n", JSON, version)  # the newline is for people with curl


def text(lines: str, *, status: int = 200) -> Reply:
    return Reply(status, lines.encode(), TEXT)


def signature(replica: Replica) -> tuple[tuple[bytes, bytes], ...]:
    """Who served, who leads. No leader known: the value is empty."""
    return _signature(replica.node_id, replica.leader)


@lru_cache(maxsize=64)
def _signature(node_id: str, leader: str | None) -> tuple[tuple[bytes, bytes], ...]:
    return (b"x-quorate-node", node_id.encode()), (b"x-quorate-leader", (leader or "").encode())


def headers_of(reply: Reply, replica: Replica) -> Headers:
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", b"%d" % len(reply.body)),
        *signature(replica),
    ]
    if reply.version is not None:
        headers.append((b"x-quorate-version", b"%d" % reply.version))
    if reply.more:
        headers.extend(reply.more)
    return headers


def problem(error: QuorateError, instance: str, *, version: int | None = None) -> Reply:
    """The reply that says what is wrong. `retry` says what sending again would do:

    `no`: the same answer. `safe`: it surely was not counted, so send it again. `same-id`: it may have been counted, so
    send it again under the same id, and never under another.
    """
    document = {
        "type": error.kind,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
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
    return Reply(error.status, encode(document) + b"\n", PROBLEM, version or error.fields.get("version"), tuple(more))


def _retry(error: QuorateError) -> str:
    if not error.definite:
        return "same-id"
    return "no" if error.retry_after_s is None else "safe"


def internal(error: BaseException, instance: str) -> Reply:
    """Say nothing of the inside to the client, everything to the log."""
    log.error("a request to %s failed unexpectedly; answered 500", instance, exc_info=error)
    return problem(
        Unexpected("the node's log has the details; the request may or may not have had its effect"), instance
    )


class Unexpected(QuorateError):
    definite = False
