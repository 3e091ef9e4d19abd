"""HTTP on a node that has just started: it waits, or answers 503. It denies nothing that it cannot know yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.http.handlers import events
from tests.support.http_node import Node, running
from tests.support.local_replica import LocalReplica
from tests.support.waiting import wait_for

EVENT_STREAM = {"Accept": "text/event-stream"}  # as EventSource in browsers


@pytest.fixture(params=[True, False], ids=["loop", "Flask"])
def node(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node that knows no leader, and whose log is not read."""
    monkeypatch.setattr(events, "READY_S", 0.01)
    with running(form=False, hot=request.param) as node:
        node.replica.leader = None
        yield node


def learn(node: Node) -> None:
    """The node has the poll, and leads."""

    async def join() -> None:
        cluster = LocalReplica()
        await Submitter(cluster).create_poll(
            CreatePoll("mood", "", ["happy", "sad"], "open", None, False), timeout_s=60
        )
        node.replica.state = cluster.state
        node.replica.lead("n1")

    node.run(join())


@pytest.mark.parametrize(
    "path",
    [
        "/polls/mood/results?level=none&wait=10ms",
        "/polls/mood/results?wait=10ms",
        "/polls/mood?level=none&wait=10ms",
        "/polls?level=none&wait=10ms",
        "/polls?wait=10ms",
        "/polls?level=none&wait=10ms&min_version=1",
        "/events",
        "/events?poll=mood",
        "/leader",
        "/members",
    ],
)
def test_what_is_not_known_yet_is_503_and_said_when_to_ask_again(node: Node, path: str) -> None:
    answer = node.ask("GET", path)
    assert (503, True, "safe") == (answer.status, answer.json["definite"], answer.json["retry"]), answer.json
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("query", ["", "?poll=mood"])
def test_a_browser_is_given_a_stream_that_begins_when_the_node_knows(node: Node, query: str) -> None:
    with closing(node.connect()) as connection:
        connection.request("GET", f"/events{query}", headers=EVENT_STREAM)
        response = connection.getresponse()
        assert (200, None) == (response.status, response.getheader("X-Quorate-Version"))
        assert b"retry: 1000\n" == response.readline()
        assert 1 == len(node.api.events)
        learn(node)
        lines = [response.readline() for _ in range(4)]
    assert b"event: results\n" == lines[2], lines
    assert "mood" == json.loads(lines[3].removeprefix(b"data: "))["id"]


def test_a_browser_whose_poll_does_not_exist_is_told_so_when_it_comes_back(node: Node) -> None:
    with closing(node.connect()) as connection:
        connection.request("GET", "/events?poll=none", headers=EVENT_STREAM)
        response = connection.getresponse()
        assert 200 == response.status
        learn(node)
        assert b"retry: 1000\n\n" == response.read()
    wait_for("nothing of it is left", lambda: not len(node.api.events))
    assert 404 == node.ask("GET", "/events?poll=none", headers=EVENT_STREAM).status


def test_a_browser_that_has_seen_a_newer_version_is_shown_nothing_older(node: Node) -> None:
    learn(node)
    ahead = node.replica.state.version + 1
    with closing(node.connect()) as connection:
        connection.request("GET", "/events?poll=mood", headers={**EVENT_STREAM, "Last-Event-ID": str(ahead)})
        response = connection.getresponse()
        assert b"retry: 1000\n\n" == response.readline() + response.readline()
        node.vote(option="happy", id="a")
        node.vote(option="happy", id="b")
        lines = [response.readline() for _ in range(3)]
    assert 2 == json.loads(lines[2].removeprefix(b"data: "))["results"]["happy"]
    assert b"id: %d\n" % (ahead + 1) == lines[0], "nothing was sent before"


def test_a_stream_that_has_not_begun_ends_after_a_while(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HOLD_S", 0.01)
    with closing(node.connect()) as connection:
        connection.request("GET", "/events", headers=EVENT_STREAM)
        assert b"retry: 1000\n\n" == connection.getresponse().read()
    wait_for("nothing of it is left", lambda: not len(node.api.events))


def test_streams_that_have_not_begun_hold_places_and_give_them_back(node: Node) -> None:
    connections = [node.connect() for _ in range(5)]
    for connection in connections:
        connection.request("GET", "/events", headers=EVENT_STREAM)
        assert 200 == connection.getresponse().status
    assert 503 == node.ask("GET", "/events", headers=EVENT_STREAM).status
    if node.server._app._hot:  # a thread of Flask notices only at the next heartbeat that the client has left
        for connection in connections:
            connection.close()
        wait_for("their places are given back", lambda: not len(node.api.events))
    for connection in connections:
        connection.close()
