"""The results as tables in HTML: what it shows, to whom, and that it stays small and safe."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from quorate.cluster.fsm import StateMachine
from quorate.doors.access import Access
from tests.support.http_node import Node, running


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        yield node


def make(node: Node, id: str, options: list[str], title: str = "", state: str = "open") -> None:
    body = {"id": id, "title": title or id, "options": options, "state": state}
    assert 201 == node.ask("POST", "/polls", body).status


def page(node: Node, path: str = "/table") -> str:
    answer = node.ask("GET", path)
    assert (200, "text/html; charset=utf-8") == (answer.status, answer.headers["content-type"])
    return answer.body.decode()


def test_each_poll_is_a_table_with_votes_and_shares(node: Node) -> None:
    make(node, "mood", ["happy", "sad"])
    for _ in range(3):
        node.ask("POST", "/votes", {"poll": "mood", "option": "happy"})
    node.ask("POST", "/votes", {"poll": "mood", "option": "sad"})
    text = page(node)
    assert '<th scope="row"><bdi>happy</bdi></th><td>3</td><td>75.0%</td>' in text
    assert "4 votes" in text


def test_names_are_text_and_nothing_runs(node: Node) -> None:
    make(node, "p", ["<script>x</script>", '"&'], title="<img src=x onerror=1>")
    answer = node.ask("GET", "/table")
    text = answer.body.decode()
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert "nosniff" == answer.headers["x-content-type-options"]


def test_open_polls_stand_first_and_pages_follow_each_other(node: Node) -> None:
    make(node, "draft", ["a", "b"], state="draft")
    for number in range(51):
        make(node, f"p{number}", ["a", "b"])
    first, second = page(node), page(node, "/table?from=50")
    assert 50 == first.count("<article")
    assert '<a href="/table?from=50">More polls</a>' in first
    assert ["p50", "draft"] == [part.split("<", 1)[0] for part in second.split("<h2>")[1:]]
    assert '<a href="/table?from=0">Polls before</a>' in second
    assert "More polls" not in second


def test_many_options_have_a_page_of_their_own(node: Node) -> None:
    make(node, "a&b", [f"o{number}" for number in range(30)])
    node.ask("POST", "/votes", {"poll": "a&b", "option": "o29"})
    text = page(node)
    assert 20 == text.count('<th scope="row">')
    assert text.index("o29") < text.index(">o0<")
    assert '<a href="/table?poll=a%26b">and 10 more options</a>' in text
    assert 30 == page(node, "/table?poll=a%26b").count('<th scope="row">')


def test_very_many_options_are_bounded_there_too(node: Node) -> None:
    make(node, "big", [f"o{number}" for number in range(1_200)])
    assert "1,200 options, on a page of their own" in page(node)
    text = page(node, "/table?poll=big")
    assert 1_000 == text.count('<th scope="row">')
    assert "and 200 more options" in text


def test_of_very_many_options_the_loop_makes_the_tally_alone_and_once(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked for such a page again and again had the loop sort 100,000 options each time, and in nobody's turn."""
    make(node, "big", [f"o{number}" for number in range(1_200)])
    sorting, copied = list[int](), list[str]()
    nlargest, columns = heapq.nlargest, StateMachine.columns

    def noted(*given: Any, **more: Any) -> Any:
        sorting.append(threading.get_ident())
        return nlargest(*given, **more)

    def copy(state: StateMachine, id: str) -> Any:
        copied.append(id)
        return columns(state, id)

    monkeypatch.setattr(heapq, "nlargest", noted)
    monkeypatch.setattr(StateMachine, "columns", copy)
    first, second = page(node, "/table?poll=big"), page(node, "/table?poll=big")
    assert first == second
    assert 2 == len(sorting)
    assert node.call(threading.get_ident) not in sorting
    assert ["big"] == copied


@pytest.mark.parametrize(("path", "status"), [("/table?poll=no", 404), ("/table?from=-1", 400), ("/table?x=1", 400)])
def test_what_is_not_there_or_not_understood_is_refused(node: Node, path: str, status: int) -> None:
    assert status == node.ask("GET", path).status


def test_it_needs_the_role_read() -> None:
    with running(access=lambda: Access(anonymous="public")) as closed:
        assert 401 == closed.ask("GET", "/table").status
