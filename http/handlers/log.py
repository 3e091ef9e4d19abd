"""The log of this node, as far as it is applied and still held: decoded, some entries at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from quorate.cluster.decoded_entry import decoded
from quorate.cluster.replica import LogPage
from quorate.errors import Invalid
from quorate.http.api import Api
from quorate.http.operation import Operation
from quorate.http.reply import Reply, reply
from quorate.http.request import Request, once, read_query, read_version
from quorate.http.routing import Rendering

ENTRIES, ENTRIES_MAX = 100, 1_000
PAGE_BYTES = 256 * 1024  # of entries as the log has them; one entry may be bigger


class LogPageAnswer(msgspec.Struct, frozen=True):
    """The node holds the entries `first` to `last`. `next` begins the following page, and is null on the last one."""

    node: str
    first: int
    last: int
    next: int | None
    entries: list[dict[str, Any]]


SHOW = Operation(
    "The entries of this node's log",
    LogPageAnswer,
    [
        {
            "name": "from",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1},
            "description": "index of the first entry; the first one that is held if not given",
        },
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": ENTRIES_MAX, "default": ENTRIES},
        },
    ],
    words="Only what this node has applied: all nodes have the same at the same index. An entry has `index`, `term`, "
    "`chain` and `kind`; one of the kind `batches` has `time_ms`, and `batches` of commands. Votes are told as numbers "
    "for each option. A page may have fewer entries than `limit`, if they are big. 410: a snapshot stands for it.",
)


async def show(api: Api, request: Request) -> Rendering:
    """GET /log: always of this node itself. Entries may be big, so they are not decoded on the loop."""
    parameters = read_query(request.query, frozenset({"from", "limit"}))
    first = read_version(once(parameters, "from", ""), "from") if "from" in parameters else None
    limit = read_version(once(parameters, "limit", str(ENTRIES)), "limit")
    if first == 0:
        raise Invalid("from is 0; the first entry of a log has index 1")
    if not 1 <= limit <= ENTRIES_MAX:
        raise Invalid(f"limit is {limit}; give 1 to {ENTRIES_MAX:,}")
    page = api.replica.log_page(first, limit, PAGE_BYTES)
    return partial(_render, api.replica.node_id, page)


def _render(node: str, page: LogPage) -> Reply:
    entries = [
        {"index": each.index, "term": each.term, "chain": each.chain.hex(), **decoded(each.kind, each.payload)}
        for each in page.entries
    ]
    last = page.entries[-1].index if page.entries else page.last
    return reply(LogPageAnswer(node, page.first, page.last, last + 1 if last < page.last else None, entries))
