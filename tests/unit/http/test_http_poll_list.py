"""GET /polls: the list of all polls, and its pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from quorate.http.handlers import poll_list
from tests.support.http_node import Node, running

IDS = [f"p{i}" for i in range(7)]


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        for id in IDS:
            node.ask("POST", "/polls", {"id": id, "options": ["a", "b"], "state": "closed" if id == "p2" else "open"})
        yield node


def page(node: Node, query: str) -> tuple[list[str], str | None]:
    answer = node.ask("GET", f"/polls?{query}")
    assert 200 == answer.status, answer.body
    shown: dict[str, Any] = answer.json
    assert str(shown["version"]) == answer.headers["x-quorate-version"]
    return [poll["id"] for poll in shown["polls"]], shown["next"]


def pages(node: Node, query: str) -> list[list[str]]:
    ids, following = page(node, query)
    found = [ids]
    while following is not None:
        ids, following = page(node, f"{query}&cursor={quote(following)}")
        found.append(ids)
    return found


def test_without_a_limit_all_polls_are_listed(node: Node) -> None:
    assert (IDS, None) == page(node, "")
    assert (["p2"], None) == page(node, "state=closed")


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_pages_list_every_poll_once(node: Node, limit: int) -> None:
    found = pages(node, f"limit={limit}")
    assert IDS == [id for ids in found for id in ids]
    assert all(len(ids) == limit for ids in found[:-1])
    assert found[-1], "no page is empty"


def test_pages_of_one_state_skip_the_others(node: Node) -> None:
    assert [["p0", "p1"], ["p3", "p4"], ["p5", "p6"]] == pages(node, "limit=2&state=open")
    assert [["p2"]] == pages(node, "limit=1&state=closed")
    assert [[]] == pages(node, "limit=1&state=archived")


def test_polls_that_change_between_two_pages_are_not_skipped(node: Node) -> None:
    ids, following = page(node, "limit=2&state=open")
    for id in ids:
        node.ask("POST", f"/polls/{id}/state", {"state": "closed"})
    assert (["p3", "p4"], True) == (page(node, f"limit=2&state=open&cursor={following}")[0], following is not None)


def test_the_next_page_is_not_older(node: Node) -> None:
    _, following = page(node, "limit=2")
    version = node.replica.state.version
    ahead = (following or "").replace(f"{version}.", f"{version + 1}.")
    assert 503 == node.ask("GET", f"/polls?limit=2&wait=10ms&level=none&cursor={ahead}").status


def test_ids_of_every_kind_are_cursors(node: Node) -> None:
    for id in ("a.b", "café 50%", "x&y=z"):
        node.ask("POST", "/polls", {"id": id, "options": ["a", "b"]})
    assert [*IDS, "a.b", "café 50%", "x&y=z"] == [id for ids in pages(node, "limit=1") for id in ids]


def test_a_page_ends_before_it_is_too_big(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_list, "ANSWER_BYTES_MAX", 400)
    found = pages(node, "limit=7")
    assert IDS == [id for ids in found for id in ids]
    assert 1 < len(found) < 7
    monkeypatch.setattr(poll_list, "ANSWER_BYTES_MAX", 1)
    assert [[id] for id in IDS] == pages(node, "limit=7")
    answer = node.ask("GET", "/polls")
    assert (413, "too-large", 1) == (answer.status, answer.json["type"], answer.json["limit"])
    assert "limit=100" in answer.json["detail"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=10001", "limit=-1", "limit=ten", "limit=1&limit=2", "cursor=x", "cursor=1.", "cursor=1.none"],
)
def test_a_page_that_makes_no_sense_is_refused(node: Node, query: str) -> None:
    assert 400 == node.ask("GET", f"/polls?{query}").status
