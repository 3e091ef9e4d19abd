"""Health, metrics, the nodes of the cluster, and what operators do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate.errors import OutcomeUnknown
from tests.support.http_node import MOOD, Node, running


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


# ---- health and metrics ---------------------------------------------------------------------------------------------


def test_readiness_is_one_line_a_check(node: Node) -> None:
    assert b"[+] leader n1\n" == node.ask("GET", "/readyz").body
    assert (
        b"[+] leader n1: term 1\n[+] sink sqlite: last flush 1 s ago\n" == node.ask("GET", "/readyz?verbose&sync").body
    )


@pytest.mark.parametrize(
    ("failing", "plain", "sync"), [({}, 200, 200), ({"leader": False}, 503, 503), ({"sink": False}, 200, 503)]
)
def test_readiness_is_what_its_checks_say(
    node: Node, monkeypatch: pytest.MonkeyPatch, failing: dict[str, bool], plain: int, sync: int
) -> None:
    for name, well in failing.items():
        monkeypatch.setitem(node.checks, name, well)
    assert (plain, sync) == (node.ask("GET", "/readyz").status, node.ask("GET", "/readyz?sync").status)
    assert (b"[-]" in node.ask("GET", "/readyz?sync").body) == (sync == 503)


def test_the_leader_is_named_with_its_addresses(node: Node) -> None:
    answer = node.ask("GET", "/leader")
    expected = {"id": "n1", "http": "http://127.0.0.1:8001", "raft": "127.0.0.1:9001", "term": 1}
    assert (200, expected) == (answer.status, answer.json)


def test_without_a_leader_nobody_is_named(node: Node) -> None:
    node.call(node.replica.lead, None)
    try:
        answer = node.ask("GET", "/leader")
    finally:
        node.call(node.replica.lead, "n1")
    assert (503, "no-leader", "") == (answer.status, answer.json["type"], answer.headers["x-quorate-leader"])


def test_nodes_status_and_version_are_what_the_node_says(node: Node) -> None:
    nodes = node.ask("GET", "/nodes").json
    assert (["n1"], "n1", 1) == ([member["id"] for member in nodes["nodes"]], nodes["leader"], nodes["term"])
    assert 7 == node.ask("GET", "/status").json["dedup"]["held"]
    assert "0.1.0" == node.ask("GET", "/version").json["version"]


def samples_of(node: Node) -> dict[tuple[str, ...], float]:
    """(name, labels) -> value."""
    answer = node.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.body.decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_metrics_are_prometheus_text_and_the_same_as_json(node: Node) -> None:
    before = samples_of(node)
    for option in ("happy", "happy", "sad"):
        node.vote(option=option, id="metrics")
    samples = samples_of(node)
    for outcome in ("applied", "duplicate", "conflict"):
        sample = ("quorate_votes_total", outcome)
        assert 1 == samples[sample] - before.get(sample, 0)
    assert 1 == samples[("quorate_raft_term",)] == samples[("quorate_ready",)]
    assert samples[("quorate_http_request_duration_seconds_count", "/votes")] == sum(
        value for key, value in samples.items() if key[:2] == ("quorate_http_requests_total", "/votes")
    )
    as_json = node.ask("GET", "/metrics?format=json").json
    assert 1 == as_json["quorate_raft_term"]["samples"][0]["value"]
    assert 400 == node.ask("GET", "/metrics?format=xml").status


def test_made_up_addresses_are_counted_under_one_name(node: Node) -> None:
    for i in range(20):
        node.ask("GET", f"/made-up-{i}")
        node.ask("GET", f"/polls/made-up-{i}")
    assert len(node.api.counts.latencies) < 20


def test_the_status_is_signed_with_the_version_it_was_taken_at() -> None:
    taken: list[int] = []
    started: list[Node] = []

    def take() -> Mapping[str, Any]:
        state = started[0].replica.state
        taken.append(state.version)
        asyncio.get_running_loop().call_soon(state.apply, b"")  # before the thread goes on
        return {}

    with running(status=take) as node:
        started.append(node)
        assert node.ask("GET", "/status").headers["x-quorate-version"] == str(*taken)


# ---- operators ------------------------------------------------------------------------------------------------------


class Admin:
    """An operator that records its calls."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str, str | None, str | None]] = []

    async def members(self) -> list[dict[str, str]]:
        asyncio.get_running_loop()  # raises on every other thread
        return [{"id": "n1"}]

    async def change(
        self, action: str, id: str, raft: str | None, incarnation: str | None = None
    ) -> list[dict[str, str]]:
        self.changes.append((action, id, raft, incarnation))
        return [{"id": "n1"}, {"id": id}]

    async def transfer(self) -> str:
        return "n2"


@pytest.fixture
def operator() -> Admin:
    return Admin()


@pytest.fixture
def administered(operator: Admin) -> Iterator[Node]:
    with running(operator=operator) as node:
        yield node


def test_an_operator_sees_and_changes_members(administered: Node, operator: Admin) -> None:
    node = administered
    assert ["n1"] == [member["id"] for member in node.ask("GET", "/members").json["members"]]
    answer = node.ask("POST", "/members", {"action": "add", "id": "n4", "raft": "10.0.0.4:9001"})
    assert ["n1", "n4"] == [member["id"] for member in answer.json["members"]]
    node.ask("POST", "/members", {"action": "update", "id": "n1", "raft": "10.0.0.1:9001"})
    node.ask("POST", "/members", {"action": "replace", "id": "n1", "incarnation": "00ff"})
    assert [
        ("add", "n4", "10.0.0.4:9001", None),
        ("update", "n1", "10.0.0.1:9001", None),
        ("replace", "n1", None, "00ff"),
    ] == operator.changes
    assert "n2" == node.ask("POST", "/leader/transfer").json["leader"]


@pytest.mark.parametrize("body", [b"", {"action": "drop", "id": "n4"}, {"action": "add"}, b'{"action":"\xff"}'])
def test_a_bad_change_of_members_is_refused(administered: Node, operator: Admin, body: Any) -> None:
    assert 400 == administered.ask("POST", "/members", body).status
    assert [] == operator.changes


@pytest.mark.parametrize("path", ["/members", "/leader/transfer", "/polls", "/producers", "/polls/mood/state"])
def test_a_page_of_another_site_changes_nothing(administered: Node, operator: Admin, path: str) -> None:
    answer = administered.ask("POST", path, {"action": "add", "id": "n4"}, {"Origin": "https://example.org"})
    assert (403, "forbidden") == (answer.status, answer.json["type"])
    assert [] == operator.changes


@pytest.mark.parametrize(
    ("path", "body", "changed", "advice"),
    [
        ("/members", {"action": "remove", "id": "n2"}, "The members may or may not have changed", "GET /members"),
        ("/leader/transfer", b"", "Leadership may or may not have moved", "GET /leader"),
        ("/polls", {"id": "mood", "options": ["a", "b"]}, "The poll may or may not have changed", "GET /polls"),
        ("/polls/mood/state", {"state": "closed"}, "The poll may or may not have changed", "GET /polls"),
        ("/votes", {"option": "a"}, "It may or may not have been counted", "send it again with the same id"),
    ],
)
def test_an_unknown_outcome_speaks_of_what_was_asked(
    operator: Admin, path: str, body: Any, changed: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def doubt(*_: object) -> Any:
        raise OutcomeUnknown("no answer in time")

    def hold(node: Node) -> None:
        node.replica.held = []

    monkeypatch.setattr(operator, "change", doubt)
    monkeypatch.setattr(operator, "transfer", doubt)
    with running(operator=operator) as node:
        node.call(lambda: hold(node))
        node.limit(timeout_s=0.1)
        answer = node.ask("POST", path, body)
    assert (504, "outcome-unknown", changed) == (answer.status, answer.json["type"], answer.json["title"])
    assert answer.json["detail"].startswith("no answer in time; ")
    assert advice in answer.json["detail"]


def test_the_sink_is_taken_over_where_there_is_one(node: Node) -> None:
    assert 503 == node.ask("POST", "/sink/adopt").status

    asked: list[str | None] = []

    async def adopt(sink: str | None) -> dict[str, int]:
        asked.append(sink)
        return {"documents": 2, "generation": 3}

    with running(adopt_sink=adopt) as other:
        assert {"documents": 2, "generation": 3} == other.ask("POST", "/sink/adopt").json
        assert 200 == other.ask("POST", "/sink/adopt?sink=mongo").status
        assert 400 == other.ask("POST", "/sink/adopt?sinc=mongo").status
    assert [None, "mongo"] == asked


def test_a_node_without_an_operator_says_so(node: Node) -> None:
    assert 503 == node.ask("GET", "/members").status
