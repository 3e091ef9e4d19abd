"""The end of the story: what was planted, beside what was counted since it began."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from quorate.client.http import JsonClient
from quorate.dev import story_end
from quorate.dev.story_end import StoryEnd, tallies
from tests.support.http_node import MOOD, running


def connect(urls: Sequence[str]) -> JsonClient:
    return JsonClient(urls, timeout_s=20.0)


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ({"happy": 2, "sad": 1}, "Planted: 3 votes in 9 made-up posts. Counted: exactly these."),
        ({"happy": 2, "sad": 0}, "Planted: 2 votes in 9 made-up posts. Counted: exactly these, and 1 vote of others."),
        (
            {"happy": 2, "sad": 3},
            "Planted: 5 votes in 9 made-up posts. Not counted when it was stopped: 2 votes.",
        ),
    ],
)
def test_what_was_counted_before_is_not_counted_again(
    planted: dict[str, int], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story_end, "COUNTED_S", 0.0)
    monkeypatch.setattr(story_end, "WRITTEN_S", 0.0)
    with running() as node:
        urls = [f"http://127.0.0.1:{node.port}"]
        node.ask("POST", "/polls", MOOD)
        node.vote(option="happy", id="before")
        with connect(urls) as client:
            before = tallies(client)
        for id, option in (("1", "happy"), ("2", "happy"), ("3", "sad")):
            node.vote(option=option, id=id)
        truth = {"votes": {"mood": planted}, "total": sum(planted.values()), "lines": 9}
        assert told == StoryEnd(connect, urls, truth, before).told(lambda: False)


def test_a_hurried_end_says_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks once; without hurry it would look for an hour."""
    monkeypatch.setattr(story_end, "COUNTED_S", 3_600.0)
    truth = {"votes": {"mood": {"happy": 1}}, "total": 1, "lines": 1}
    end = StoryEnd(connect, ["http://127.0.0.1:1"], truth, {})
    assert "Planted: 1 vote in 1 made-up post. Not counted when it was stopped: 1 vote." == end.told(lambda: True)
