"""`history` of both clients: what they ask for, and the moments of what they get."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from quorate import AsyncClient, Client, PollHistory, errors
from tests.support.scripted_node import ScriptedNode, nowhere

Start = Callable[..., ScriptedNode]
HISTORY = {
    "id": "mood",
    "creation": 1,
    "node": "n2",
    "from": "2030-05-01T12:00:00Z",
    "to": "2030-05-01T12:00:20Z",
    "now": "2030-05-01T12:00:20Z",
    "step_s": 10,
    "kept_from": None,
    "gaps": [{"from": "2030-05-01T12:00:00Z", "to": "2030-05-01T12:00:10Z"}],
    "totals": [None, 3, 5],
    "options": {"happy": [None, 2, 3], "sad": [None, 1, 2]},
}
NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


def by_threads(url: str, **named: Any) -> PollHistory:
    with Client([url]) as client:
        return client.history("mood", **named)


def by_asyncio(url: str, **named: Any) -> PollHistory:
    async def ask() -> PollHistory:
        async with AsyncClient([url]) as client:
            return await client.history("mood", **named)

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [by_threads, by_asyncio])


@both
@pytest.mark.parametrize(
    ("begin", "step", "asked"),
    [
        ("15m", None, "from=15m"),
        (timedelta(minutes=15), timedelta(seconds=10), "from=900s&step=10s"),
        (NOON.astimezone(timezone(timedelta(hours=2))), "5m", "from=2030-05-01T12%3A00%3A00Z&step=5m"),
    ],
)
def test_a_history_has_its_moments(
    node: Start, ask: Callable[..., PollHistory], begin: Any, step: Any, asked: str
) -> None:
    told = node((200, HISTORY))
    history = ask(told.url, begin=begin, step=step)
    assert f"/polls/mood/history?{asked}" == told.requests[0][1]
    assert [(NOON, None), (NOON + timedelta(seconds=10), 3), (NOON + timedelta(seconds=20), 5)] == list(
        zip(history.moments, history.totals, strict=True)
    )
    assert ("n2", [None, 1, 2], 10) == (history.node, history.options["sad"], history.step_s)
    assert [(NOON, NOON + timedelta(seconds=10))] == [(gap.begin, gap.end) for gap in history.gaps]


@both
def test_a_moment_without_a_zone_is_refused(ask: Callable[..., PollHistory]) -> None:
    with pytest.raises(errors.Invalid, match="no zone"):
        ask(nowhere(), begin=datetime(2030, 5, 1))
