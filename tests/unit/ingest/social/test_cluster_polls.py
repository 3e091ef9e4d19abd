"""The open polls by the API of a node, page by page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quorate.client.http import JsonClient
from quorate.cluster import entry
from quorate.errors import QuorateError
from quorate.ingest.social.options import cluster_polls
from quorate.ingest.social.options.cluster_polls import ClusterPolls
from quorate.ingest.social.options.stream_poll import Rules
from tests.support.http_node import Node, running


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running(hot=True) as node:
        node.call(node.replica.state.raise_level, entry.encode_raise(1))
        for number in range(7):
            options = ["x", f"option {number}"]
            node.ask("POST", "/polls", {"id": f"p{number}", "options": options, "state": "open"})
        node.ask("POST", "/polls/p3/state", {"state": "closed"})
        node.ask("POST", "/polls", {"id": "later", "options": ["a", "b"], "state": "draft"})
        yield node


def polls_of(node: Node, **rules: Rules) -> ClusterPolls:
    return ClusterPolls(lambda: JsonClient([f"127.0.0.1:{node.port}"]), rules)


@pytest.mark.parametrize("page", [1, 2, 100])
def test_all_open_polls_are_read_whatever_a_page_holds(node: Node, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_polls, "PAGE_POLLS", page)
    found = polls_of(node).read()
    assert ["p0", "p1", "p2", "p4", "p5", "p6"] == [poll.id for poll in found.polls]
    assert ("x", "option 4") == found.polls[3].options
    assert {} == found.left_out


def test_polls_have_the_rules_that_are_given_for_them(node: Node) -> None:
    rules = Rules(match="substring")
    found = polls_of(node, p1=rules, gone=rules).read()
    assert [Rules(), rules, Rules()] == [poll.rules for poll in found.polls[:3]]


def test_a_poll_with_very_many_options_is_read(node: Node) -> None:
    options = [f"option {number} of many" for number in range(100_000)]
    node.ask("POST", "/polls", {"id": "big", "options": options, "state": "open"})
    assert options == [*polls_of(node).read().polls[-1].options]
    node.ask("POST", "/polls/big/state", {"state": "closed"})


def test_a_poll_that_is_made_again_under_its_name_has_a_number_and_keeps_it(node: Node) -> None:
    first = {"id": "again", "options": ["a", "b"], "state": "draft"}
    node.ask("POST", "/polls", first)
    node.ask("DELETE", "/polls/again")
    for id in ("again", "fresh"):
        node.ask("POST", "/polls", {**first, "id": id, "state": "open"})
    numbers = [{poll.id: poll.creation for poll in polls_of(node).read().polls} for _ in range(2)]
    assert numbers[0]["again"] > 0
    assert 0 == numbers[0]["fresh"] == numbers[0]["p0"]
    node.ask("PATCH", "/polls/again", {"options": ["c"]})
    assert numbers[0] == numbers[1] == {poll.id: poll.creation for poll in polls_of(node).read().polls}
    for id in ("again", "fresh"):
        node.ask("POST", f"/polls/{id}/state", {"state": "closed"})


def test_a_cluster_that_does_not_answer_is_told() -> None:
    with pytest.raises(QuorateError, match="cannot be reached"):
        ClusterPolls(lambda: JsonClient(["127.0.0.1:9"], timeout_s=1), {}).read()
