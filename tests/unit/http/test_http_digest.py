"""GET /digest: what two nodes, or two moments, are compared by."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quorate.cluster.fsm import Image
from quorate.cluster.read import digests
from tests.support.http_node import Node, running
from tests.support.waiting import wait_for


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        assert 201 == node.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        yield node


def digest_of(node: Node, query: str = "") -> Any:
    answer = node.ask("GET", f"/digest{query}")
    assert 200 == answer.status, answer.json
    return answer.json


def test_equal_states_have_equal_digests_and_a_vote_changes_them(node: Node) -> None:
    before, again = digest_of(node), digest_of(node)
    node.vote(option="happy")
    after = digest_of(node)
    assert before == again
    assert ("n1", 2, 3) == (before["node"], before["version"], after["version"])
    assert [] == [key for key in ("digest", "chain", "log") if before[key] == after[key]]
    assert after["digest"] == node.call(node.replica.state.digest)


def test_a_version_to_come_is_waited_for_and_is_that_version_and_no_later_one(node: Node) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(digest_of, node, "?version=4&wait=20s")
        while not node.call(lambda: node.api.digests._waiting):
            pass
        for n in range(4):
            node.vote(option="happy", id=f"u{n}")
            if n == 1:
                at_4 = node.call(node.replica.state.digest)
        told = asked.result(20)
    assert (4, at_4) == (told["version"], told["digest"])
    assert "log" not in told  # its applied entry was another one by then


def test_the_log_has_its_chain_at_each_index_that_is_held(node: Node) -> None:
    node.vote(option="happy")
    newest = digest_of(node)["log"]
    earlier = digest_of(node, f"?index={newest['index'] - 1}")
    assert {"node", "log"} == set(earlier)
    assert newest == digest_of(node, f"?index={newest['index']}")["log"]
    assert newest["chain"] != earlier["log"]["chain"]


@pytest.mark.parametrize(
    ("query", "status", "kind", "said"),
    [
        ("?version=1", 410, "gone", "version 1 is past: this node is at 2"),
        ("?version=9&wait=1ms", 503, "stale", "this node is at version 2, not yet at 9"),
        ("?index=1", 410, "gone", "entry 1 is no longer held"),
        ("?index=9&wait=1ms", 503, "stale", "not entry 9 yet"),
        ("?index=2&version=2", 400, "invalid", "give version or index"),
        ("?index=two", 400, "invalid", "index is 'two'; give a whole number"),
        ("?entry=2", 400, "invalid", "there is no query parameter 'entry' here"),
        ("?wait=1h", 400, "invalid", "wait is"),
    ],
)
def test_what_cannot_be_told_is_said_in_words(node: Node, query: str, status: int, kind: str, said: str) -> None:
    answer = node.ask("GET", f"/digest{query}")
    assert (status, kind) == (answer.status, answer.json["type"])
    assert said in answer.json["detail"]


def test_a_node_that_has_not_read_its_log_does_not_tell_the_digest_of_nothing() -> None:
    with running(form=False) as node:
        answer = node.ask("GET", "/digest")
    assert (503, "not-ready") == (answer.status, answer.json["type"])


def test_one_digest_is_made_at_a_time_and_few_may_wait(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "ASKED_MAX", 1)
    entered, go_on = threading.Event(), threading.Event()
    made = Image.digest

    def slow(image: Image) -> bytes:
        entered.set()
        go_on.wait(20)
        return made(image)

    monkeypatch.setattr(Image, "digest", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(digest_of, node)
        assert entered.wait(20)
        assert 429 == node.ask("GET", "/digest").status
        assert {"happy": 0, "sad": 0} == node.tally()  # other requests are answered meanwhile
        go_on.set()
        assert 2 == first.result(20)["version"]


def test_few_may_wait_for_entries_of_the_log_to_come(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks again and again: a thousand of them took all of the loop for half a minute."""
    monkeypatch.setattr(digests, "POINTS_ASKED_MAX", 2)
    waits = "/digest?index=999999&wait=300ms"
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(node.ask, "GET", waits) for _ in range(2)]
        wait_for("both wait", lambda: node.api.digests._points_asked == 2)
        assert 429 == node.ask("GET", waits).status
        assert [503, 503] == [each.result().status for each in waiting]
    assert 200 == node.ask("GET", "/digest?index=2").status
