"""GET /events?only=polls: which polls change, without any tally."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from quorate.cluster import entry
from tests.support.http_node import MOOD, Node, running

WAIT_S = 20.0


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        node.call(node.replica.state.raise_level, entry.encode_raise(1))
        node.ask("POST", "/polls", MOOD)
        yield node


@contextlib.contextmanager
def told(node: Node, query: str = "") -> Iterator[Iterator[tuple[str, Any]]]:
    """The events, as (name, data)."""
    with contextlib.closing(node.connect()) as connection:
        connection.request("GET", f"/events?only=polls{query}")
        answer = connection.getresponse()
        assert (200, "text/event-stream") == (answer.status, answer.headers["content-type"])
        assert b"retry: 1000\n" == answer.readline()
        assert b"\n" == answer.readline()
        yield _events(answer)


def _events(answer: Any) -> Iterator[tuple[str, Any]]:
    fields: dict[str, str] = {}
    while line := answer.readline().decode().rstrip("\n") or "end":
        if line == "end":
            yield fields["event"], json.loads(fields["data"])
            fields = {}
        else:
            name, _, value = line.partition(": ")
            fields[name] = value


def brief(event: tuple[str, Any]) -> tuple[str, str, str]:
    name, data = event
    return name, data["id"], data.get("state", "")


def test_it_begins_with_nothing_and_tells_what_changes_but_no_votes(node: Node) -> None:
    with told(node) as events:
        node.vote(option="happy")
        node.vote(option="sad", poll="mood", id="a")
        node.ask("POST", "/polls", {"id": "tea", "options": ["milk", "lemon"], "state": "draft"})
        assert ("poll", "tea", "draft") == brief(next(events))
        node.ask("PATCH", "/polls/mood", {"add_options": ["calm"]})
        changed = next(events)
        assert ("poll", "mood", "open") == brief(changed)
        assert node.ask("GET", "/polls/mood").json["version"] == changed[1]["version"]
        node.ask("PATCH", "/polls/mood", {"add_options": ["calm"]})
        node.ask("POST", "/polls/mood/state", {"state": "closed"})
        assert ("poll", "mood", "closed") == brief(next(events))
        node.ask("DELETE", "/polls/tea")
        name, data = next(events)
        assert ("deleted", "tea", 2) == (name, data["id"], data["creation"])
        node.ask("POST", "/polls", {"id": "tea", "options": ["milk", "sugar"], "state": "open"})
        assert ("poll", "tea", "open") == brief(next(events))


def test_named_polls_are_told_alone(node: Node) -> None:
    with told(node, "&poll=mood") as events:
        node.ask("POST", "/polls", {"id": "tea", "options": ["milk", "lemon"]})
        node.ask("POST", "/polls/mood/state", {"state": "closed"})
        assert ("poll", "mood", "closed") == brief(next(events))


def test_two_streams_of_which_one_is_later_are_told_the_same(node: Node) -> None:
    with told(node) as first:
        node.ask("POST", "/polls", {"id": "tea", "options": ["milk", "lemon"]})
        assert ("poll", "tea") == brief(next(first))[:2]
        with told(node) as second:
            node.ask("POST", "/polls/mood/state", {"state": "closed"})
            assert ("poll", "mood", "closed") == brief(next(first)) == brief(next(second))


def test_what_was_missed_while_nobody_followed_is_not_told(node: Node) -> None:
    with told(node):
        pass
    node.ask("POST", "/polls", {"id": "tea", "options": ["milk", "lemon"]})
    with told(node) as events:
        node.vote(option="milk", poll="tea")
        node.ask("POST", "/polls/tea/state", {"state": "closed"})
        assert ("poll", "tea") == brief(next(events))[:2]


def test_a_word_that_is_not_known_is_refused(node: Node) -> None:
    assert 400 == node.ask("GET", "/events?only=tallies").status
    assert b"only is 'tallies'; give polls" in node.ask("GET", "/events?only=tallies").body
