"""DELETE /polls/ID and /producers/NAME: what they take away, and what is told of it afterwards."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.http.handlers import producers
from quorate.http.routes import ROUTES
from tests.support.http_node import Node, running
from tests.support.tokens import access_by, bearer, write_tokens


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running() as node:
        node.call(node.replica.state.raise_level, entry.encode_raise(1))
        yield node


def created(node: Node, id: str, state: str = "draft", **poll: Any) -> int:
    """The number of the creation."""
    answer = node.ask("POST", "/polls", {"id": id, "options": ["happy", "sad"], "state": state, **poll})
    assert 201 == answer.status, answer.body
    number: int = answer.json["creation"]
    assert number == node.ask("GET", f"/polls/{id}").json["creation"]
    return number


def archive(node: Node, id: str) -> None:
    for state in ("closed", "archived"):
        assert 200 == node.ask("POST", f"/polls/{id}/state", {"state": state}).status


def vote(node: Node, poll: str, id: str) -> Any:
    return node.ask("POST", "/votes", {"option": "happy", "poll": poll, "id": id})


def test_a_deleted_poll_answers_410_everywhere(node: Node) -> None:
    number = created(node, "gone", "open")
    assert 200 == vote(node, "gone", "g1").status
    archive(node, "gone")
    answer = node.ask("DELETE", "/polls/gone")
    expected = {"id": "gone", "creation": number, "state": "deleted", "before": "archived"}
    assert expected == {name: answer.json[name] for name in expected}
    assert str(answer.json["version"]) == answer.headers["x-quorate-version"]
    asked = [
        ("GET", "", None),
        ("GET", "/results", None),
        ("DELETE", "", None),
        ("DELETE", f"?creation={number}", None),
    ]
    told = [node.ask(method, f"/polls/gone{rest}", body) for method, rest, body in asked]
    told += [node.ask("GET", "/events?poll=gone"), vote(node, "gone", "g2")]
    assert {(410, "deleted")} == {(each.status, each.json["type"].rpartition("/")[2]) for each in told}
    assert (200, 1) == (vote(node, "gone", "g1").status, vote(node, "gone", "g1").json["duplicates"])
    assert 404 == node.ask("DELETE", "/polls/never").status


def test_only_drafts_and_archived_polls_are_deleted(node: Node) -> None:
    created(node, "stays", "open")
    answer = node.ask("DELETE", "/polls/stays")
    assert (409, "open", "deleted") == (answer.status, answer.json["state"], answer.json["wanted"])
    assert "archive it" in answer.json["detail"]
    assert 200 == node.ask("GET", "/polls/stays").status


def test_what_was_meant_for_the_old_poll_never_meets_the_new_one(node: Node) -> None:
    old = created(node, "again", "open")
    assert 200 == vote(node, "again", "a1").status
    archive(node, "again")
    assert 200 == node.ask("DELETE", f"/polls/again?creation={old}").status
    new = created(node, "again")
    assert new > old
    for query in ("", f"?creation={old}"):  # the same again
        assert 410 == node.ask("DELETE", f"/polls/again{query}").status
    assert 200 == node.ask("POST", "/polls/again/state", {"state": "open"}).status
    assert 409 == vote(node, "again", "a1").status
    assert 200 == vote(node, "again", "a2").status
    assert {"happy": 1, "sad": 0} == node.ask("GET", "/polls/again/results").json["results"]
    archive(node, "again")
    assert 200 == node.ask("DELETE", f"/polls/again?creation={new}").status


@pytest.mark.parametrize("creation", ["-1", "x", "1.5", "1&creation=2"])
def test_a_number_that_is_none_is_refused(node: Node, creation: str) -> None:
    assert 400 == node.ask("DELETE", f"/polls/mood?creation={creation}").status


def test_while_a_node_is_too_old_it_is_refused_in_words() -> None:
    with running() as node:
        for path in ("/polls/mood", "/producers/p"):
            answer = node.ask("DELETE", path)
            assert (409, True) == (answer.status, "needs level 1" in answer.json["detail"])


def test_who_may() -> None:
    roles = {(route.method, route.path): route.role for route in ROUTES}
    assert "manage" == roles["DELETE", "/polls/{id}"]
    assert {"operate"} == {roles["DELETE", "/producers/{name}"], roles["GET", "/producers"]}


def test_a_stream_is_told(node: Node) -> None:
    number = created(node, "followed")
    connection = node.connect()
    connection.request("GET", "/events?poll=followed")
    response = connection.getresponse()
    lines = iter(response.readline, b"")
    assert any(line == b"event: results\n" for line in lines)
    assert 200 == node.ask("DELETE", "/polls/followed").status
    assert any(line == b"event: deleted\n" for line in lines)
    assert {"id": "followed", "creation": number} == {
        name: value for name, value in json.loads(next(lines)[6:]).items() if name != "version"
    }
    # A new poll of the name has as many options, and others: the stream follows them.
    created(node, "followed", "open", options=["calm", "tired"])
    assert any(b'"calm":0' in line for line in lines)
    assert 200 == node.ask("POST", "/votes", {"option": "calm"}).status
    assert any(b'"calm":1' in line for line in lines)
    connection.close()


def test_a_stream_is_told_also_when_the_deletion_is_forgotten_already(node: Node) -> None:
    """A node that was away gets a snapshot in which neither the poll nor its deletion stands."""
    created(node, "missed")
    connection = node.connect()
    connection.request("GET", "/events?poll=missed")
    lines = iter(connection.getresponse().readline, b"")
    assert any(line == b"event: results\n" for line in lines)
    state = node.replica.state

    def delete_and_forget() -> None:
        batch = entry.encode_batch([entry.DeletePoll("missed", None)])
        data = entry.encode_entry(node.replica.now_ms(), [batch])
        node.replica.commit(data, node.loop.create_future())
        stone = state.tombstone("missed")
        assert stone is not None
        state._tally.tombstones.forget(stone)

    node.call(delete_and_forget)
    assert any(line == b"event: deleted\n" for line in lines)
    connection.close()


def test_a_page_goes_on_after_its_last_poll_was_deleted_or_created_anew(node: Node) -> None:
    for name in ("page1", "page2", "page3"):
        created(node, name)
    listed = node.ask("GET", "/polls").json["polls"]
    before = [poll["id"] for poll in listed].index("page2") + 1
    cursor = node.ask("GET", f"/polls?limit={before}").json["next"]
    assert 200 == node.ask("DELETE", "/polls/page2").status
    assert "page3" == node.ask("GET", f"/polls?cursor={cursor}").json["polls"][0]["id"]
    created(node, "page2")
    assert ["page3", "page2"] == [p["id"] for p in node.ask("GET", f"/polls?cursor={cursor}").json["polls"]]


# ---- producers ------------------------------------------------------------------------------------------------------


def opened(node: Node, producer: str, **more: Any) -> Any:
    return node.ask("POST", "/producers", {"producer": producer, **more})


def test_a_forgotten_producer_is_opened_again_only_as_new(node: Node) -> None:
    created(node, "fed", "open")
    assert 200 == opened(node, "feeder/1").status
    votes, header = [{"option": "happy", "poll": "fed"}], {"X-Quorate-Producer": "feeder/1;epoch=1;sequence=1"}
    assert 200 == node.ask("POST", "/votes", votes, header).status
    listed = node.ask("GET", "/producers").json["producers"]
    assert {"producer": "feeder/1", "epoch": 1, "sequence": 1} in listed
    answer = node.ask("DELETE", "/producers/feeder/1")
    assert (200, 1, 1) == (answer.status, answer.json["epoch"], answer.json["sequence"])
    again = [node.ask("DELETE", "/producers/feeder/1"), opened(node, "feeder/1")]
    again.append(node.ask("POST", "/votes", votes, header))
    assert {410} == {each.status for each in again}
    assert 2 == opened(node, "feeder/1", new=True).json["epoch"]
    assert 410 == node.ask("DELETE", "/producers/feeder/1?epoch=1").status
    assert 404 == node.ask("DELETE", "/producers/nobody").status


def test_producers_are_listed_in_pages(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("z1", "z2", "z3"):
        assert 200 == opened(node, name).status
    page = node.ask("GET", "/producers?after=z&limit=2").json
    assert (["z1", "z2"], "z2") == ([each["producer"] for each in page["producers"]], page["next"])
    page = node.ask("GET", f"/producers?after={page['next']}").json
    assert (["z3"], None) == ([each["producer"] for each in page["producers"]], page["next"])
    assert {400} == {node.ask("GET", f"/producers?limit={limit}").status for limit in (0, producers.LISTED + 1)}


def test_refusals_of_who_does_not_operate_fill_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "quorate")
    path = write_tokens(tmp_path / "tokens.toml", {"ann": "manage", "boss": "operate"})
    with running(access=partial(access_by, path)) as node:
        node.replica.state.raise_level(entry.encode_raise(1))
        for who in ("ann", "ann", "boss"):
            assert 404 == node.ask("DELETE", "/polls/nothing", headers=bearer(who)).status
        node.ask(
            "POST", "/polls", {"id": "old", "title": "old", "options": ["a", "b"], "state": "draft"}, bearer("ann")
        )
        assert 200 == node.ask("DELETE", "/polls/old", headers=bearer("ann")).status
    told = [line.split(":")[0] for line in caplog.messages if "asked to" in line]
    assert [
        "boss from 127.0.0.1 asked to delete the poll 'nothing'",
        "ann from 127.0.0.1 asked to delete the poll 'old'",
    ] == told
