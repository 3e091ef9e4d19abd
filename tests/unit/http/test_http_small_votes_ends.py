"""How small votes end where something goes wrong: the client leaves, or reads nothing, or a part of the node fails."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from quorate.cluster.submit.early_answers import MANY
from quorate.doors.limits import Limits
from quorate.errors import NoLeader
from quorate.http.small_votes import SMALL_BYTES
from quorate.tracing import RequestTrace
from tests.support.http_node import MOOD, Node, running
from tests.support.waiting import let_pass, wait_for
from tests.unit.http.test_http_small_votes import VOTE, read_all, request, statuses

LATER_S = 1_000.0


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def sweep_later(node: Node) -> None:
    """As if much time had passed."""
    for connection in node.server._open():
        node.call(connection.sweep, node.loop.time() + LATER_S)


def test_a_connection_with_work_is_not_idle_though_the_request_before_was_answered_at_once(node: Node) -> None:
    node.replica.held = held = list[Any]()
    with node.dial() as sock:
        sock.sendall(request({"option": 7}) + request(VOTE))
        wait_for("the second vote is proposed", lambda: len(held) == 1)
        sweep_later(node)
        node.replica.held = None
        node.call(lambda: node.replica.commit(*held.pop()))
        assert ["400", "200", "200"] == statuses(sock)


@pytest.mark.parametrize("small", [True, False], ids=["small", "by ASGI"])
def test_a_connection_that_is_cut_with_two_votes_open_breaks_nothing(
    small: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn tells only the request that came last that its client is gone."""
    with running(small=small) as node, node.dial() as sock:
        node.ask("POST", "/polls", MOOD)
        node.replica.held = held = list[Any]()
        sock.sendall(request(VOTE) + request({"option": "sad"}) + b"\0garbage\r\n\r\n")
        wait_for("the first vote is proposed", lambda: len(held) == 1)
        assert b"" == read_all(sock)
        wait_for("the connection is gone", lambda: node.server.connections == 0)
        node.call(lambda: node.replica.commit(*held.pop()))
        wait_for("the first is done", lambda: node.api.counts.requests.get(("/votes", 200)) == 1)
        assert {"happy": 1, "sad": 0} == node.tally()
    assert [] == caplog.records


def test_the_time_of_an_answer_is_taken_from_the_end_of_the_head(node: Node) -> None:
    with node.dial() as sock:
        sock.sendall(request(VOTE)[:-5])
        wait_for("its head is there", lambda: any(each._small is not None for each in node.server._open()))
        let_pass(0.05, because="the body comes later")
        sock.sendall(request(VOTE)[-5:])
        assert ["200", "200"] == statuses(sock)
    assert node.api.counts.latencies["/votes"].sum > 0.05


def test_a_client_that_leaves_before_the_body_is_complete_is_counted(node: Node) -> None:
    with node.dial() as sock:
        sock.sendall(request(VOTE)[:-5])
        wait_for("it waits for the body", lambda: any(each._small for each in node.server._open()))
        let_pass(0.05, because="the client is slow")
    wait_for("the client is counted as gone", lambda: node.api.counts.requests.get(("/votes", 499)) == 1)
    assert node.api.counts.latencies["/votes"].sum > 0.05


def test_a_body_that_does_not_come_in_time_is_counted(node: Node) -> None:
    with node.dial() as sock:
        sock.sendall(request(VOTE)[:-5])
        wait_for("it waits for the body", lambda: any(each._small for each in node.server._open()))
        sweep_later(node)
        assert read_all(sock).startswith(b"HTTP/1.1 408 ")
    wait_for("it is counted as gone", lambda: node.api.counts.requests.get(("/votes", 499)) == 1)


def test_an_outcome_that_nobody_will_tell_is_unknown(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def cancelled(*_: Any, **__: Any) -> None:
        outcome = node.loop.create_future()
        node.loop.call_soon(outcome.cancel)
        await outcome

    monkeypatch.setattr(node.api.submitter, "cast_columns", cancelled)
    answer = node.vote(**VOTE)
    assert (500, False) == (answer.status, answer.json["definite"])
    assert not node.server._small_votes.waiting


def test_a_vote_is_answered_though_its_trace_cannot_be_told(node: Node) -> None:
    class Broken:
        def begin(self, _: Any) -> Any:
            return RequestTrace(0.0)

        def end(self, *_: Any) -> None:
            raise ZeroDivisionError

    object.__setattr__(node.api, "tracer", Broken())
    assert 200 == node.vote(**VOTE).status


def test_a_big_answer_to_a_small_request_counts_to_what_is_unread() -> None:
    """Half a thousand votes that make no sense fit into a kilobyte, and each is answered with a line of its own."""
    body = b"[" + b",".join([b"0"] * (SMALL_BYTES // 2 - 1)) + b"]"
    head = b"POST /votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with running(limits=Limits(unsent_bytes=1_000_000)) as node, node.dial() as sock:
        assert node.server._sweeping is not None
        node.call(node.server._sweeping.cancel)  # it counts anew
        sock.sendall(head + body)
        assert b"HTTP/1.1 200 " in sock.recv(65_536)
        assert node.server._shared.unsent.held > 16 * 1024


@pytest.mark.parametrize("small", [True, False], ids=["small", "by ASGI"])
def test_what_becomes_of_a_vote_that_was_cut_is_no_error(small: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A node that stops cuts what takes too long, and refuses what waits after that."""
    with running(small=small) as node, node.dial() as sock:
        node.ask("POST", "/polls", MOOD)
        node.replica.held = held = list[Any]()
        sock.sendall(request(VOTE))
        wait_for("the vote is proposed", lambda: len(held) == 1)
        node.run(node.server.stop(0.05))
        node.call(lambda: held.pop()[1].set_exception(NoLeader("it stops")))
        node.call(node.api.submitter.stop)
        wait_for("nothing waits", lambda: node.api.submitter.waiting_bytes == 0)
        node.call(gc.collect)
    assert ["cutting 1 requests that did not finish within 0.05 s"] == [record.message for record in caplog.records]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Idempotency-Key": "k"}, {"X-Quorate-Producer": "p;epoch=1;sequence=1"}],
    ids=["", "key", "session"],
)
def test_a_small_request_with_as_many_votes_as_fit_needs_no_task(
    node: Node, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Many votes that look as if they change nothing wait for this node to catch up, by `asyncio.timeout`."""
    node.ask("POST", "/producers", {"producer": "p"})
    votes = [b'{"option":"%c"}' % letter for letter in range(ord("0"), ord("0") + (SMALL_BYTES + 1) // 15)]
    body = b"\n".join(votes).replace(b"\\", b"-")
    assert SMALL_BYTES - 15 < len(body) <= SMALL_BYTES
    assert len(votes) < MANY
    answer = node.ask("POST", "/votes", body, {"Content-Type": "application/x-ndjson", **headers})
    assert (400 if headers else 200) == answer.status
    assert len(votes) == len(answer.json["rejected"])
    assert [] == caplog.records
