"""Polls and producers: what is created, shown and refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from quorate.cluster.entry import CreatePoll
from quorate.cluster.state import sessions
from quorate.vote import YEAR_9999_MS
from tests.support.http_node import MOOD, Node, running


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


# ---- polls ----------------------------------------------------------------------------------------------------------


def test_a_poll_is_created_once(node: Node) -> None:
    poll = {"id": "tea", "options": ["tea", "coffee"]}
    created, same = node.ask("POST", "/polls", poll), node.ask("POST", "/polls", poll)
    other = node.ask("POST", "/polls", {**poll, "options": ["tea", "water"]})
    assert (201, 200, 409) == (created.status, same.status, other.status)
    assert ("/polls/tea", "conflict") == (created.headers["location"], other.json["type"])
    assert ("tea", "open", ["tea", "coffee"]) == (created.json["title"], created.json["state"], created.json["options"])
    assert str(created.json["version"]) == created.headers["x-quorate-version"]


def test_the_same_poll_again_is_answered_with_its_present_state(node: Node) -> None:
    poll = {"id": "again", "options": ["a", "b"]}
    node.ask("POST", "/polls", poll)
    node.ask("POST", "/polls/again/state", {"state": "closed"})
    assert "closed" == node.ask("POST", "/polls", poll).json["state"]


def test_a_poll_is_shown_as_it_was_defined(node: Node) -> None:
    poll = {
        "id": "café/no".replace("/", " "),
        "title": "Où?",
        "options": ["node.js", "$cash", "😀"],
        "state": "draft",
        "closes_at": "2099-01-31T12:00:00+01:00",
        "write_ins": True,
    }
    created = node.ask("POST", "/polls", poll)
    shown = node.ask("GET", created.headers["location"]).json
    assert {**poll, "closes_at": "2099-01-31T11:00:00.000Z"} == {name: shown[name] for name in poll}
    assert [shown["id"]] == [poll["id"] for poll in node.ask("GET", "/polls?state=draft").json["polls"]]


def test_a_poll_that_closes_after_the_last_year_is_shown_as_closing_then(node: Node) -> None:
    """The log of an old version may have such a poll: it is refused only now."""
    poll = CreatePoll("far", "", ["a", "b"], "open", YEAR_9999_MS + 43_200_000, False)
    node.run(node.api.submitter.create_poll(poll, timeout_s=30))
    assert "9999-12-31T23:59:59.000Z" == node.ask("GET", "/polls/far").json["closes_at"]
    assert "far" in [poll["id"] for poll in node.ask("GET", "/polls").json["polls"]]


BAD_POLLS: list[tuple[str, Any, int, str]] = [
    ("no option", {"id": "x", "options": []}, 400, "at least 2"),
    ("one option", {"id": "x", "options": ["a"]}, 400, "at least 2"),
    ("100,001 options", {"id": "x", "options": [str(i) for i in range(100_001)]}, 413, "100,001 options"),
    ("4 MiB of text and more", {"id": "x", "options": [f"{i:0250d}" for i in range(17_000)]}, 413, "bytes of text"),
    ("an option twice", {"id": "x", "options": ["a", "b", "a"]}, 400, "option 'a' stands there twice"),
    ("an option twice once normalised", {"id": "x", "options": ["caf\u00e9", "cafe\u0301"]}, 400, "twice"),
    ("an empty option", {"id": "x", "options": ["a", ""]}, 400, "option 1 is empty"),
    ("an option of 10 kB", {"id": "x", "options": ["a", "b" * 10_000]}, 413, "option 1 has 10000 bytes"),
    ("an option with NUL", {"id": "x", "options": ["a", "b\x00"]}, 400, "control character"),
    ("options of a wrong type", {"id": "x", "options": "ab"}, 400, "array"),
    ("an option of a wrong type", {"id": "x", "options": ["a", 7]}, 400, "str"),
    ("no id", {"options": ["a", "b"]}, 400, "missing required field `id`"),
    ("an empty id", {"id": "", "options": ["a", "b"]}, 400, "id is empty"),
    ("a long id", {"id": "x" * 129, "options": ["a", "b"]}, 413, "129 bytes"),
    ("a slash in the id", {"id": "a/b", "options": ["a", "b"]}, 400, "slash"),
    ("an id that is an address", {"id": "..", "options": ["a", "b"]}, 400, "dot"),
    ("a long title", {"id": "x", "title": "x" * 1_025, "options": ["a", "b"]}, 413, "1025 bytes"),
    ("an unknown state", {"id": "x", "options": ["a", "b"], "state": "ajar"}, 400, "ajar"),
    ("born archived", {"id": "x", "options": ["a", "b"], "state": "archived"}, 400, "archived"),
    ("a time without offset", {"id": "x", "options": ["a", "b"], "closes_at": "2099-01-01T00:00:00"}, 400, "offset"),
    ("no time at all", {"id": "x", "options": ["a", "b"], "closes_at": "tomorrow"}, 400, "closes_at"),
    ("a time too late", {"id": "x", "options": ["a", "b"], "closes_at": "9999-12-31T23:59:59-12:00"}, 400, "9999"),
    ("a time that has passed", {"id": "x", "options": ["a", "b"], "closes_at": "2001-01-01T00:00:00Z"}, 400, "passed"),
    ("an unknown field", {"id": "x", "options": ["a", "b"], "titel": "x"}, 400, "titel"),
    ("a list", [MOOD], 400, "array"),
    ("malformed", b"{", 400, "truncated"),
    ("not UTF-8", b'{"id":"\xff","options":["a","b"]}', 400, "utf-8"),
    ("nested too deeply", b'{"id":"x","options":' + b"[" * 1_000_000, 400, "array"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "words"), [pytest.param(*case, id=id) for id, *case in BAD_POLLS])
def test_a_bad_poll_is_refused_in_words(node: Node, body: Any, status: int, words: str) -> None:
    answer = node.ask("POST", "/polls", body)
    assert status == answer.status
    assert words in answer.json["detail"]
    assert 404 == node.ask("GET", "/polls/x").status


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("id", {"id": "a/b"}),
        ("title", {"title": "x" * 1_025}),
        ("options", {"options": ["a"]}),
        ("options", {"options": ["a", "a"]}),
        ("closes_at", {"closes_at": "2099-01-01T00:00:00"}),
        ("closes_at", {"closes_at": "2001-01-01T00:00:00Z"}),
    ],
)
def test_a_refusal_says_which_field_it_is_about(node: Node, field: str, change: dict[str, Any]) -> None:
    answer = node.ask("POST", "/polls", {"id": "x", "options": ["a", "b"], **change})
    assert (field, False) == (answer.json["field"], answer.status < 400)


def test_a_poll_goes_through_its_states(node: Node) -> None:
    node.ask("POST", "/polls", {"id": "states", "options": ["a", "b"], "state": "draft"})
    for before, state in (("draft", "open"), ("open", "closed"), ("closed", "open"), ("open", "closed")):
        answer = node.ask("POST", "/polls/states/state", {"state": state})
        assert (200, before, state) == (answer.status, answer.json["before"], answer.json["state"])
    assert 200 == node.ask("POST", "/polls/states/state", {"state": "archived"}).status


def test_a_wrong_transition_names_both_states_and_what_is_allowed(node: Node) -> None:
    answer = node.ask("POST", "/polls/mood/state", {"state": "draft"})
    assert (409, "bad-transition") == (answer.status, answer.json["type"])
    assert ("open", "draft", ["closed"]) == (answer.json["state"], answer.json["wanted"], answer.json["allowed"])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/polls/none/state", {"state": "closed"}, 404),
        ("/polls/mood/state", {"state": "ajar"}, 400),
        ("/polls/mood/state", {}, 400),
        ("/polls/mood/state", b"closed", 400),
    ],
)
def test_a_bad_request_for_a_state_is_refused(node: Node, path: str, body: Any, status: int) -> None:
    assert status == node.ask("POST", path, body).status


@pytest.mark.parametrize(
    "path", ["/polls?state=ajar", "/polls?stat=open", "/polls?level=strong", "/polls/mood?lvl=none"]
)
def test_a_bad_query_about_polls_is_refused(node: Node, path: str) -> None:
    assert 400 == node.ask("GET", path).status


# ---- producers ------------------------------------------------------------------------------------------------------


def test_a_producer_session_counts_each_batch_once_and_an_old_epoch_no_more(node: Node) -> None:
    session = node.ask("POST", "/producers", {"producer": "feeder;1"}).json
    assert ("feeder;1", 1, 0) == (session["producer"], session["epoch"], session["sequence"])
    batch = [{"option": "sad"}] * 3
    before = node.tally()["sad"]
    for _ in range(2):
        assert 200 == node.ask("POST", "/votes", batch, {"X-Quorate-Producer": "feeder;1;epoch=1;sequence=1"}).status
    assert 3 == node.tally()["sad"] - before
    assert 2 == node.ask("POST", "/producers", {"producer": "feeder;1"}).json["epoch"]
    answer = node.ask("POST", "/votes", batch, {"X-Quorate-Producer": "feeder;1;epoch=1;sequence=2"})
    assert 400 <= answer.status < 500
    assert 3 == node.tally()["sad"] - before


@pytest.mark.parametrize(
    "body", [b"", b"{}", {"producer": ""}, {"producer": 7}, {"producer": "a\nb"}, b'{"producer":"\xff"}']
)
def test_a_bad_producer_is_refused(node: Node, body: Any) -> None:
    assert 400 == node.ask("POST", "/producers", body).status


def test_a_producer_over_the_limit_is_refused_for_good(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "PRODUCERS_MAX", 0)
    answer = node.ask("POST", "/producers", {"producer": "one-too-many"})
    assert (413, "no", True) == (answer.status, answer.json["retry"], answer.json["definite"])
    assert "quorate producers forget" in answer.json["detail"]
