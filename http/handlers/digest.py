"""What two nodes, or two moments, are compared by: the digest of the state, and the chain of the log."""

from __future__ import annotations

from typing import Any

import msgspec

from quorate.cluster.read.digests import Digest
from quorate.cluster.replica import LogPoint
from quorate.errors import Invalid
from quorate.http.api import Api
from quorate.http.operation import Operation, Parameter
from quorate.http.reply import Reply, reply
from quorate.http.request import Request, once, read_duration, read_query, read_version

PARAMETERS = frozenset({"version", "index", "wait"})


class LogEntry(msgspec.Struct, frozen=True):
    """Equal on all nodes at an equal index."""

    index: int
    term: int
    chain: str


class DigestAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    node: str
    version: int | None = None
    digest: str | None = None
    chain: str | None = None
    log: LogEntry | None = None


def _number(name: str, description: str) -> Parameter:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "integer", "minimum": 0}}


SHOW = Operation(
    "The digest of this node's state, and the chain of its log",
    DigestAnswer,
    [
        _number("version", "of the state; now, or one to come"),
        _number("index", "of the log: the chain there, without a digest"),
        {"name": "wait", "in": "query", "schema": {"type": "string", "default": "2s"}, "description": "for either"},
    ],
    words="Two nodes have the same history if their digests are equal at one version, or their chains at one index.",
)


async def show(api: Api, request: Request) -> Reply:
    """GET /digest: always of this node itself, whoever leads."""
    parameters = read_query(request.query, PARAMETERS)
    version, index = _optional(parameters, "version"), _optional(parameters, "index")
    wait_s = read_duration(once(parameters, "wait", "2s"), "wait", api.limits.wait_max_s)
    node = api.replica.node_id
    last = api.replica.log_point()  # raises `NotReady` before the log is read
    if version is not None and index is not None:
        raise Invalid("give version or index, and not both")
    if index is not None:
        async with api.places.log_points.waiting(request.caller):
            return reply(DigestAnswer(node, log=_entry(await api.digests.log_point(index, wait_s))))
    async with api.places.digests.waiting(request.caller):
        made = await api.digests.digest(version, wait_s)
    return reply(_answer(node, made, None if version is not None else last), version=made.version)


def _answer(node: str, made: Digest, last: LogPoint | None) -> DigestAnswer:
    return DigestAnswer(node, made.version, made.digest, made.chain, None if last is None else _entry(last))


def _entry(point: LogPoint) -> LogEntry:
    return LogEntry(point.index, point.term, point.chain.hex())


def _optional(parameters: dict[str, list[Any]], name: str) -> int | None:
    return read_version(once(parameters, name, ""), name) if name in parameters else None
