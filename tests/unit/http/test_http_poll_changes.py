"""PATCH /polls/ID: what changes, what never does, and in which words it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.errors import Stale
from quorate.vote import OPTIONS_PER_POLL_MAX
from tests.support.http_node import Node, running


@pytest.fixture(scope="module")
def running_node() -> Iterator[Node]:
    with running() as node:
        node.call(node.replica.state.raise_level, entry.encode_raise(1))
        yield node


class Poll:
    def __init__(self, node: Node, id: str, **poll: Any) -> None:
        self.node, self.path = node, f"/polls/{id}"
        assert 201 == node.ask("POST", "/polls", {"id": id, "options": ["happy", "sad"], **poll}).status

    def change(self, **change: Any) -> Any:
        answer = self.node.ask("PATCH", self.path, change)
        assert 200 == answer.status, answer.body
        assert str(answer.json["version"]) == answer.headers["x-quorate-version"]
        return answer.json

    def shown(self) -> Any:
        return self.node.ask("GET", self.path).json


def test_all_that_is_given_changes_together(running_node: Node) -> None:
    poll = Poll(running_node, "together")
    before = running_node.replica.state.version
    changed = poll.change(title="How?", add_options=["angry", "calm"], closes_at="2099-01-31T12:00:00+01:00")
    assert (True, before + 1) == (changed.pop("changed"), running_node.replica.state.version)
    assert poll.shown() == changed
    expected = {"title": "How?", "options": ["happy", "sad", "angry", "calm"], "closes_at": "2099-01-31T11:00:00.000Z"}
    assert expected == {name: changed[name] for name in expected}
    results = running_node.ask("GET", f"{poll.path}/results").json["results"]
    assert {"happy": 0, "sad": 0, "angry": 0, "calm": 0} == results


def test_what_is_not_given_stays(running_node: Node) -> None:
    poll = Poll(running_node, "stays", title="How?", closes_at="2099-01-31T11:00:00.000Z")
    assert "How?" == poll.change(add_options=["calm"])["title"]
    assert "2099-01-31T11:00:00.000Z" == poll.change(title="Why?")["closes_at"]
    assert ["happy", "sad", "calm"] == poll.change(closes_at=None)["options"]
    assert (None, "Why?") == (poll.shown()["closes_at"], poll.shown()["title"])


def test_the_same_again_is_no_change(running_node: Node) -> None:
    poll = Poll(running_node, "again")
    change: dict[str, Any] = {"title": "How?", "add_options": ["calm"], "closes_at": "2099-01-31T11:00:00Z"}
    first, again = poll.change(**change), poll.change(**change)
    assert (True, False) == (first["changed"], again["changed"])
    assert first | {"changed": False, "version": again["version"]} == again


def test_a_poll_created_again_is_shown_as_it_is_now(running_node: Node) -> None:
    poll = Poll(running_node, "renewed")
    poll.change(title="How?", add_options=["calm"])
    again = running_node.ask("POST", "/polls", {"id": "renewed", "options": ["happy", "sad"]})
    assert (200, "How?", ["happy", "sad", "calm"]) == (again.status, again.json["title"], again.json["options"])


@pytest.mark.parametrize("spelling", ["caf\u00e9", "cafe\u0301"])
def test_an_option_is_added_once_in_whatever_spelling(running_node: Node, spelling: str) -> None:
    id = f"cafe{len(spelling)}"
    poll = Poll(running_node, id, options=["caf\u00e9", "tea"])
    assert not poll.change(add_options=[spelling])["changed"]
    assert ["caf\u00e9", "tea", "th\u00e9"] == poll.change(add_options=[spelling, "the\u0301"])["options"]
    for option in ("th\u00e9", "the\u0301"):
        running_node.vote(option=option, poll=id)
    assert {"caf\u00e9": 0, "tea": 0, "th\u00e9": 2} == running_node.tally(id)


def test_the_poll_is_found_in_every_spelling(running_node: Node) -> None:
    Poll(running_node, "\u00e9t\u00e9")
    for path in ("/polls/%C3%A9t%C3%A9", "/polls/e%CC%81te%CC%81", "/polls/%C3%A9t%C3%A9/"):
        assert 200 == running_node.ask("PATCH", path, {"title": path}).status
        assert path == running_node.ask("GET", path).json["title"]


MANY = [str(i) for i in range(OPTIONS_PER_POLL_MAX)]
REFUSED: list[tuple[str, Any, int, str, str]] = [
    ("nothing", {}, 400, "invalid", "nothing to change"),
    ("no option", {"add_options": []}, 400, "invalid", "nothing to change"),
    ("options", {"options": ["a"]}, 400, "invalid", "options are only added"),
    ("taking away", {"remove_options": ["sad"]}, 400, "invalid", "votes would be lost"),
    ("taking away, otherwise", {"remove": ["sad"]}, 400, "invalid", "remove: an option is never taken away"),
    ("renaming, otherwise", {"rename": {"sad": "blue"}}, 400, "invalid", "rename: an option is never renamed"),
    ("renaming", {"rename_options": {"sad": "blue"}}, 400, "invalid", "for what nobody chose"),
    ("id", {"id": "other"}, 400, "invalid", "keeps its id"),
    ("state", {"state": "closed"}, 400, "invalid", "POST /polls/ID/state"),
    ("write-ins", {"write_ins": True, "title": "x"}, 400, "invalid", "when the poll is created"),
    ("results", {"results": {"happy": 7}}, 400, "invalid", "never set"),
    ("unknown", {"titel": "x"}, 400, "invalid", "titel"),
    ("no title", {"title": ""}, 400, "invalid", "title is empty"),
    ("null as title", {"title": None}, 400, "invalid", "title"),
    ("long title", {"title": "x" * 1_025, "add_options": ["calm"]}, 413, "too-large", "1025 bytes"),
    ("long option", {"add_options": ["calm", "x" * 257]}, 413, "too-large", "option 1 has 257 bytes"),
    ("empty option", {"add_options": ["calm", ""]}, 400, "invalid", "option 1 is empty"),
    ("NUL", {"add_options": ["a\x00"]}, 400, "invalid", "control character"),
    ("an option twice", {"add_options": ["a", "a"]}, 400, "invalid", "stands there twice"),
    ("too many", {"add_options": [*MANY, "one more"]}, 413, "too-large", "100,001 options"),
    ("too many with the others", {"add_options": MANY}, 413, "too-large", "at most 100,000 options"),
    ("a time that has passed", {"closes_at": "2001-01-01T00:00:00Z", "title": "x"}, 400, "invalid", "has passed"),
    ("a time without offset", {"closes_at": "2099-01-01T00:00:00"}, 400, "invalid", "offset"),
    ("no time at all", {"closes_at": "tomorrow"}, 400, "invalid", "closes_at"),
    ("a list", [{"title": "x"}], 400, "invalid", "object"),
    ("malformed", b"{", 400, "invalid", "truncated"),
    ("not UTF-8", b'{"title":"\xff"}', 400, "invalid", "utf-8"),
    ("nested too deeply", b'{"title":' + b"[" * 1_000_000, 400, "invalid", "can be changed"),
]  # fmt: skip


@pytest.fixture(scope="module")
def steady(running_node: Node) -> Poll:
    return Poll(running_node, "steady")


@pytest.mark.parametrize(("body", "status", "kind", "words"), [pytest.param(*case, id=id) for id, *case in REFUSED])
def test_a_change_that_is_refused_says_why_and_changes_nothing(
    steady: Poll, body: Any, status: int, kind: str, words: str
) -> None:
    before = steady.shown()
    answer = steady.node.ask("PATCH", steady.path, body)
    assert (status, kind, True) == (answer.status, answer.json["type"], answer.json["definite"])
    assert words in answer.json["detail"]
    assert before == steady.shown()


def test_a_change_stands_though_the_node_cannot_show_the_poll_in_time(
    running_node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*given: Any, **named: Any) -> None:
        raise Stale("this node is behind")

    poll = Poll(running_node, "late")
    with monkeypatch.context() as patch:
        patch.setattr(running_node.api.reads, "poll", late)
        changed = poll.change(title="How?")
    assert {"id": "late", "state": "open", "version": changed["version"], "changed": True} == changed
    assert "How?" == poll.shown()["title"]


@pytest.mark.parametrize(("via", "level"), [(None, "none"), ("n3", "weak")])
def test_a_node_that_does_not_hear_the_leader_shows_the_leaders_poll(
    running_node: Node, monkeypatch: pytest.MonkeyPatch, via: str | None, level: str
) -> None:
    """Its own log gets nothing new: it would wait in vain for the version of the change."""
    poll, levels = Poll(running_node, f"via-{via}"), list[str]()
    read = running_node.api.reads.poll

    async def note(*given: Any, **named: Any) -> Any:
        levels.append(named["level"])
        return await read(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(running_node.api.reads, "poll", note)
        patch.setattr(running_node.replica, "leader_via", via)
        assert ["happy", "sad", "calm"] == poll.change(add_options=["calm"])["options"]
    assert [level] == levels


def test_an_archived_poll_changes_no_more(running_node: Node) -> None:
    poll = Poll(running_node, "archived")
    for state in ("closed", "archived"):
        running_node.ask("POST", f"{poll.path}/state", {"state": state})
    answer = running_node.ask("PATCH", poll.path, {"add_options": ["calm"]})
    assert (409, "archived", "no") == (answer.status, answer.json["type"], answer.json["retry"])
    assert not poll.change(add_options=["sad"])["changed"]


def test_a_poll_that_is_not_there_cannot_change(running_node: Node) -> None:
    answer = running_node.ask("PATCH", "/polls/none", {"title": "x"})
    assert (404, "unknown-poll") == (answer.status, answer.json["type"])


def test_a_page_of_another_site_changes_no_poll(running_node: Node) -> None:
    poll = Poll(running_node, "foreign")
    answer = running_node.ask("PATCH", poll.path, {"title": "x"}, {"Origin": "https://example.org"})
    assert (403, "foreign") == (answer.status, poll.shown()["title"])


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/merge-patch+json", 200),
        ("application/merge-patch+json; charset=utf-8", 200),
        ("application/json-patch+json", 415),
        ("application/x-ndjson", 400),
        ("text/plain", 415),
    ],
)
def test_a_change_is_a_json_object_of_either_type(running_node: Node, content_type: str, status: int) -> None:
    poll = Poll(running_node, content_type.replace("/", " "))
    path = poll.path.replace(" ", "%20").replace(";", "%3B")
    assert status == running_node.ask("PATCH", path, {"title": "x"}, {"Content-Type": content_type}).status


def test_a_compressed_change_is_refused(running_node: Node) -> None:
    poll = Poll(running_node, "packed")
    assert 415 == running_node.ask("PATCH", poll.path, {"title": "x"}, {"Content-Encoding": "gzip"}).status


def test_below_level_1_a_change_is_refused_in_words() -> None:
    with running() as node:
        node.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]})
        answer = node.ask("PATCH", "/polls/mood", {"title": "x"})
        assert (409, "needs-level", "no") == (answer.status, answer.json["type"], answer.json["retry"])
        assert answer.json["detail"].startswith("changing a poll needs")


@pytest.mark.parametrize(
    "closes_at", ["2038-12-09T07:20:52.232Z", "2099-01-31T12:00:00.001Z", "2200-07-01T00:00:00.999Z"]
)
def test_the_closing_time_that_is_shown_is_the_one_that_stands(running_node: Node, closes_at: str) -> None:
    """A script that reads a poll, and sends back what it read, changes nothing."""
    poll = Poll(running_node, f"read-{closes_at[:4]}", closes_at=closes_at)
    assert closes_at == poll.shown()["closes_at"]
    assert not poll.change(closes_at=closes_at)["changed"]


@pytest.mark.timeout(60)
def test_an_option_that_stands_there_twice_is_found_at_once_among_many(running_node: Node) -> None:
    """To compare each with each would take minutes, and one thread reads all big bodies."""
    poll = Poll(running_node, "twice")
    many = [*map(str, range(OPTIONS_PER_POLL_MAX - 2)), "caf\u00e9", "cafe\u0301"]
    answer = running_node.ask("PATCH", poll.path, {"add_options": many})
    assert (400, True) == (answer.status, "'caf\u00e9' stands there twice" in answer.json["detail"])
