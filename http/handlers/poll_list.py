"""All polls, or a page of them, oldest first.

A page ends after `limit` polls, or before its text is too much for one answer. Its `next` says where the next page
begins: the version of this page and its last poll. So the next page is never older than this one, also from another
node, and polls that change their state meanwhile, or are deleted, are neither skipped nor listed twice.
Without `limit` all polls are listed, if they fit in one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from quorate.cluster.read.reads import Versioned
from quorate.cluster.state.polls import PollView
from quorate.errors import Invalid, TooLarge
from quorate.http.api import Api
from quorate.http.consistency import CONSISTENCY, PARAMETERS, read_consistency, within
from quorate.http.handlers.polls import STATES, show_poll
from quorate.http.operation import Operation
from quorate.http.reply import JSON, Reply, encode
from quorate.http.request import Request, once, read_query, read_version
from quorate.http.routing import Rendering
from quorate.security.caller import Caller
from quorate.vote import POLLS_MAX

ANSWER_BYTES_MAX = 64 * 1024 * 1024

SHOW_ALL = Operation(
    "All polls, oldest first, or a page of them",
    parameters=[
        {"name": "state", "in": "query", "schema": {"enum": list(STATES)}},
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": POLLS_MAX},
            "description": "polls a page; without it all are listed",
        },
        {
            "name": "cursor",
            "in": "query",
            "schema": {"type": "string"},
            "description": "where the page begins: `next` of the page before",
        },
        *PARAMETERS,
    ],
    words="`next` is the cursor of the next page, null on the last one. A page may have fewer polls than its limit.",
)


@dataclass(frozen=True, slots=True)
class Page:
    """What is asked for. `after` is the last poll of the page before, which was read at `version`, and `creation` its
    number: a new poll may have the id by now."""

    state: str | None
    limit: int | None
    after: str | None
    creation: int
    version: int

    @property
    def is_whole(self) -> bool:
        return self.limit is None and self.after is None


async def show_all(api: Api, request: Request) -> Rendering:
    """GET /polls. Many polls take a while to render, so that is not done on the loop."""
    parameters = read_query(request.query, CONSISTENCY | {"state", "limit", "cursor"})
    page = _read_page(parameters)
    consistency = read_consistency(parameters, api.limits.wait_max_s)
    read = api.reads.polls(
        page.state if page.is_whole else None,  # the last poll of the page before may have another state by now
        level=consistency.level,
        min_version=max(consistency.min_version, page.version),
        wait_s=consistency.wait_s,
    )
    found = await within(api, request.caller, consistency, read)
    return partial(_render, page, _seen_by(request.caller, found))


def _seen_by(caller: Caller, found: Versioned[list[PollView]]) -> Versioned[list[PollView]]:
    """The polls that the caller's token is for."""
    if caller.polls is None:
        return found
    return msgspec.structs.replace(found, value=[poll for poll in found.value if caller.may_see(poll.id)])


def _read_page(parameters: dict[str, list[str]]) -> Page:
    state = once(parameters, "state", "") or None
    if state is not None and state not in STATES:
        raise Invalid(f"state is {state!r}; give one of {', '.join(STATES)}")
    limit = read_version(once(parameters, "limit", "0"), "limit") if "limit" in parameters else None
    if limit is not None and not 1 <= limit <= POLLS_MAX:
        raise Invalid(f"limit is {limit}; give 1 to {POLLS_MAX:,}")
    cursor = once(parameters, "cursor", "")
    if not cursor:
        return Page(state, limit, None, 0, 0)
    place, _, after = cursor.partition(".")
    version, _, creation = place.partition("-")
    if not after:
        raise Invalid(f"cursor is {cursor[:100]!r}; give `next` of a page, or none for the first page")
    number = read_version(creation or "0", "the creation in cursor")
    return Page(state, limit, after, number, read_version(version, "the version in cursor"))


def _render(page: Page, found: Versioned[list[PollView]]) -> Reply:
    listed, last = _fill(page, _behind(page, found.value))
    if last is not None and page.is_whole:
        raise TooLarge(
            f"all polls are over {ANSWER_BYTES_MAX:,} bytes; give limit=100, and then as cursor `next` of the answer",
            limit=ANSWER_BYTES_MAX,
        )
    following = None if last is None else f"{found.version}{_number(last)}.{last.id}"
    end = encode({"next": following, "version": found.version})
    body = b"".join((b'{"polls":[', b",".join(listed), b"],", end[1:], b"\n"))
    return Reply(200, body, JSON, found.version)


def _number(poll: PollView) -> str:
    return f"-{poll.creation}" if poll.creation else ""


def _behind(page: Page, polls: Sequence[PollView]) -> Sequence[PollView]:
    """The polls that follow the last one of the page before. Their numbers grow, except for those that have 0."""
    if page.after is None:
        return polls
    for place, poll in enumerate(polls, 1):
        if (poll.id, poll.creation) == (page.after, page.creation):
            return polls[place:]
    if page.creation:  # it was deleted
        return [poll for poll in polls if poll.creation > page.creation]
    raise Invalid(f"cursor names a poll that is not there: {page.after!r}; begin with the first page")


def _fill(page: Page, polls: Sequence[PollView]) -> tuple[list[bytes], PollView | None]:
    """The polls of the page as JSON, and the last one. None instead: no further poll belongs to the list."""
    listed: list[bytes] = []
    size, last = 0, None
    for poll in polls:
        if page.state not in (None, poll.state):
            continue
        text = encode(show_poll(poll))
        size += len(text)
        if len(listed) == page.limit or (listed and size > ANSWER_BYTES_MAX):
            return listed, last
        listed.append(text)
        last = poll
    return listed, None
