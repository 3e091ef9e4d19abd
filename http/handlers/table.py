"""The polls and their results as a page of tables, for readers without JavaScript, printers and screen readers.

It shows what this node knows. A poll with many options has those that lead here, and all of them on a page of its own.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from operator import itemgetter
from urllib.parse import quote

from quorate.cluster.read import chunks
from quorate.cluster.read.shared_results import SharedResults
from quorate.cluster.state.polls import PollView
from quorate.doors.bounds import check_poll
from quorate.errors import Invalid
from quorate.http.api import Api
from quorate.http.operation import STRING, Operation
from quorate.http.reply import Reply
from quorate.http.request import Request, once, read_query
from quorate.http.routing import Rendering
from quorate.words import count

POLLS_SHOWN = 50
OPTIONS_SHOWN = 20
OPTIONS_MOST = 1_000  # on the page of one poll

RANKS = ("open", "draft", "closed", "archived")  # in this order they stand on the page
HTML = b"text/html; charset=utf-8"
POLICY = b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SAFE = ((b"content-security-policy", POLICY), (b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))

TABLE = Operation(
    "The results as tables in HTML, without JavaScript",
    STRING,
    [
        {"name": "poll", "in": "query", "schema": STRING, "description": "this poll only, with all its options"},
        {"name": "from", "in": "query", "schema": {"type": "integer", "minimum": 0}, "description": "the first poll"},
    ],
    media="text/html",
)


@dataclass(frozen=True, slots=True)
class PollTable:
    """`rows` are None where a poll has so many options that only its own page shows them."""

    poll: PollView
    total: int
    rows: Sequence[tuple[str, int]] | None
    options: int


@dataclass(frozen=True, slots=True)
class TablePage:
    node: str
    version: int
    tables: Sequence[PollTable]
    before: int | None  # where the page before begins, and the next one
    after: int | None
    is_whole: bool  # it is about all polls


async def show(api: Api, request: Request) -> Rendering:
    """GET /table."""
    parameters = read_query(request.query, frozenset({"poll", "from"}))
    poll_id = once(parameters, "poll", "")
    if poll_id:
        return await _show_one(api, request, poll_id)
    start = _read_start(once(parameters, "from", "0"))
    found = await api.reads.polls(level="none")
    polls = sorted((poll for poll in found.value if request.caller.may_see(poll.id)), key=_rank)
    tables = []
    for poll in polls[start : start + POLLS_SHOWN]:
        tables.append(_part_of(api, poll))
        await asyncio.sleep(0)  # votes need not wait for all of them
    before = max(0, start - POLLS_SHOWN) if start else None
    after = start + POLLS_SHOWN if start + POLLS_SHOWN < len(polls) else None
    state = api.replica.state
    return partial(_render, TablePage(api.replica.node_id, state.version, tables, before, after, True))


async def _show_one(api: Api, request: Request, poll_id: str) -> Rendering:
    check_poll(request.caller, poll_id)
    poll = (await api.reads.poll(poll_id, level="none")).value
    found = await api.reads.results(poll_id, level="none")
    return partial(_render_one, api.replica.node_id, found.version, poll, SharedResults.of(found.results))


def _render_one(node: str, version: int, poll: PollView, results: SharedResults) -> Reply:
    """On a Flask thread, because to sort very many options takes a while."""
    table = _table(poll, results.rows(), len(results), results.total, OPTIONS_MOST)
    return _render(TablePage(node, version, [table], None, None, False))


def _part_of(api: Api, poll: PollView) -> PollTable:
    """What stands of it on the page of all polls."""
    if chunks.is_big(poll):
        return PollTable(poll, 0, None, len(poll.options))
    results = api.replica.state.results(poll.id) or {}
    return _table(poll, results.items(), len(results), sum(results.values()), OPTIONS_SHOWN)


def _table(poll: PollView, rows: Iterable[tuple[str, int]], options: int, total: int, most: int) -> PollTable:
    shown = heapq.nlargest(most, rows, key=itemgetter(1)) if options > most else list(rows)
    return PollTable(poll, total, shown, options)


def _rank(poll: PollView) -> int:
    return RANKS.index(poll.state) if poll.state in RANKS else len(RANKS)


def _read_start(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Invalid(f"from is {text[:40]!r}; give the number of a poll, from 0 on")
    return int(text)


# ---- HTML, on a Flask thread ----------------------------------------------------------------------------------------


def _render(page: TablePage) -> Reply:
    return Reply(200, "\n".join(_lines(page)).encode(), HTML, page.version, SAFE)


def _lines(page: TablePage) -> Iterator[str]:
    title = "Quorate" if page.is_whole else f"{escape(page.tables[0].poll.title)} · Quorate"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>{title}</title>"
    yield '<link rel="icon" href="/static/mark.svg" type="image/svg+xml">'
    yield '<link rel="stylesheet" href="/static/page.css">\n</head>\n<body class="tables">'
    yield '<header><h1><img src="/static/mark.svg" alt="" width="28" height="28">Quorate</h1>'
    yield f'<p class="quiet">answered by {escape(page.node)} · version {page.version:,}</p></header>\n<main>'
    if page.is_whole:
        yield '<p class="quiet">The results as they are now. Load this page again for newer ones.</p>'
    if not page.tables:
        yield "<p>No poll yet.</p>"
    for table in page.tables:
        yield from _section(table, page.is_whole)
    yield "</main>\n<footer>"
    if page.before is not None:
        yield f'<a href="/table?from={page.before}">Polls before</a>'
    if page.after is not None:
        yield f'<a href="/table?from={page.after}">More polls</a>'
    if not page.is_whole:
        yield '<a href="/table">All polls</a>'
    yield '<a href="/">The page with JavaScript</a> <a href="/openapi.json">API</a></footer>\n</body>\n</html>\n'


def _section(table: PollTable, is_part: bool) -> Iterator[str]:
    poll, address = table.poll, f"/table?poll={quote(table.poll.id, safe='')}"
    yield f'<article dir="auto">\n<header><h2>{escape(poll.title)}</h2>'
    yield f'<span class="state {poll.state}">{poll.state}</span>'
    if table.rows is None:
        words = f"{count(table.options, 'option')}, on a page of their own"
        yield f'</header>\n<p><a href="{address}">{words}</a></p></article>'
        return
    yield f'<span class="total">{count(table.total, "vote")}</span></header>\n<table>'
    yield '<thead><tr><th scope="col">Option</th><th scope="col">Votes</th><th scope="col">Share</th></tr></thead>'
    yield "<tbody>"
    yield from _rows(table.rows, table.total)
    yield "</tbody>\n</table>"
    if table.options > len(table.rows):
        rest = f"and {count(table.options - len(table.rows), 'more option')}"
        yield f'<p><a href="{address}">{rest}</a></p>' if is_part else f"<p>{rest}</p>"
    yield "</article>"


def _rows(rows: Sequence[tuple[str, int]], total: int) -> Iterator[str]:
    for name, votes in rows:
        share = f"{votes / total:.1%}" if total else "–"
        yield f'<tr><th scope="row"><bdi>{escape(name)}</bdi></th><td>{votes:,}</td><td>{share}</td></tr>'
