"""The clients of `quorate bench`: what is confirmed, what is refused, and what stays in doubt, each told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from quorate.benchmark.bench_poll import BenchPoll, TallyCheck
from quorate.benchmark.loading import VoteSending, VotingLoop
from quorate.benchmark.stages import Stages
from quorate.benchmark.surroundings import Surroundings, is_here
from quorate.benchmark.vote_requests import BenchTarget, VoteRequests
from quorate.client.http import JsonClient
from quorate.cluster.entry import encode_raise
from quorate.errors import Forbidden
from tests.support import http_node
from tests.support.scripted_node import COUNTED, Answer, ScriptedNode, problem


def sending(urls: Sequence[str], votes: int = 1) -> VoteSending:
    made = VoteSending(VoteRequests("p", "o", votes), [BenchTarget.of(url, None) for url in urls], None)
    made.running, made.ids_max = True, votes
    return made


def one_request(answers: list[Answer]) -> tuple[VoteSending, VotingLoop, ScriptedNode]:
    """A client that sends one request, to a node that answers so."""
    node = ScriptedNode(answers)
    try:
        made = sending([node.url])
        loop = VotingLoop(made, 0)
        asyncio.run(loop.run())
    finally:
        node.stop()
    return made, loop, node


def test_votes_of_each_request_have_ids_of_their_own() -> None:
    requests = VoteRequests("p", "o", 2)
    assert b'[{"option":"o","id":"p.000000000007.0","poll":"p"},{"option":"o","id":"p.000000000007.1","poll":"p"}]' == (
        requests.body(7)
    )
    head = requests.head(BenchTarget.of("http://[::1]:8001/behind", "secret")).decode()
    assert head.startswith("POST /behind/votes HTTP/1.1\r\nHost: [::1]:8001\r\n")
    assert "Authorization: Bearer secret\r\n" in head
    assert head.endswith(f"Content-Length: {len(requests.body(7))}\r\n\r\n")


@pytest.mark.parametrize(
    ("first", "reason"), [("break", "the connection broke"), (problem("outcome-unknown", 504), "outcome-unknown")]
)
def test_a_request_without_an_outcome_is_sent_again_unchanged(first: Answer, reason: str) -> None:
    made, loop, node = one_request([first, (200, {**COUNTED, "applied": 0, "duplicates": 1})])
    assert (1, {reason: 1}, {}, False) == (
        made.confirmed,
        dict(made.counts.unknown),
        dict(made.counts.refused),
        loop.in_doubt,
    )
    assert 1 == len({body for _, _, body, _ in node.requests})
    assert 2 == len(node.requests)


def test_a_request_that_is_refused_for_now_is_sent_again() -> None:
    made, loop, _ = one_request([problem("overloaded", 429), problem("no-leader", 503), (200, COUNTED)])
    assert (1, {"overloaded": 1, "no-leader": 1}, {}) == (
        made.confirmed,
        dict(made.counts.refused),
        dict(made.counts.unknown),
    )
    assert 1 == len(made.counts.took_s), "one request, with all its attempts"
    assert not loop.in_doubt


def test_a_refusal_that_no_later_request_escapes_ends_all() -> None:
    made, _, node = one_request([problem("forbidden", 403)])
    assert isinstance(made.fatal, Forbidden)
    assert 1 == len(node.requests)
    assert not made.may_begin


def test_something_else_than_a_node_is_named() -> None:
    made, _, node = one_request([(200, b"<html>")])
    assert made.fatal is not None
    assert f"{node.url} does not answer as a Quorate node does" == made.fatal.detail


def test_a_node_that_is_down_is_no_doubt() -> None:
    down = ScriptedNode([(200, COUNTED)])
    down.stop()
    up = ScriptedNode([(200, COUNTED)])
    try:
        made = sending([down.url, up.url])
        asyncio.run(VotingLoop(made, 0).run())
    finally:
        up.stop()
    assert (1, {"not reached": 1}, {}) == (made.confirmed, dict(made.counts.refused), dict(made.counts.unknown))


def test_a_measurement_that_is_stopped_settles_what_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.benchmark.stages.SETTLE_S", 0.1)
    node = ScriptedNode(["hang"])
    try:
        made = sending([node.url], votes=3)
        stages = Stages(made, [1, 2], 60.0, 6_000, lambda: bool(node.requests), lambda _: None)
        asyncio.run(stages.run())
    finally:
        node.stop()
    assert (3, 1) == (stages.in_doubt, len(stages.figures)), "and no further stage"


def test_a_run_sends_no_more_ids_than_it_may_and_its_tally_is_exact() -> None:
    with http_node.running() as node:
        node.call(node.replica.state.raise_level, encode_raise(1))
        url = f"http://127.0.0.1:{node.port}"
        with JsonClient([url]) as client:
            poll = BenchPoll(client)
            poll.create()
            made = VoteSending(VoteRequests(poll.id, poll.option, 4), [BenchTarget.of(url, None)], None)
            stages = Stages(made, [1, 3], 60.0, 80, lambda: False, lambda _: None)
            asyncio.run(stages.run())
            assert [True, True] == [each.ended_early for each in stages.figures]
            assert TallyCheck(80, 0, 80) == poll.check(made.confirmed, stages.in_doubt)
            poll.remove()
            poll.remove()
            assert [] == client.polls()["polls"]


@pytest.mark.parametrize(("total", "is_exact"), [(9, False), (10, True), (12, True), (13, False)])
def test_only_what_is_in_doubt_may_be_missing(total: int, is_exact: bool) -> None:
    assert is_exact == TallyCheck(confirmed=10, in_doubt=2, total=total).is_exact


def test_a_cluster_is_for_trying_things_where_all_its_nodes_are_on_loopback() -> None:
    def found(*urls: str) -> Surroundings:
        members = [{"id": str(place), "http": url} for place, url in enumerate(urls)]
        return Surroundings(members, "0", {}, {}, {}, "0.2.0", [])

    assert found("http://127.0.0.1:8001", "http://[::1]:8002", "http://localhost:8003").is_dev
    assert not found("http://127.0.0.1:8001", "http://a.example:8001").is_dev


def test_this_machine_is_known_by_its_addresses() -> None:
    assert is_here("localhost")
    assert is_here("127.0.0.1")
    assert not is_here("192.0.2.1")
