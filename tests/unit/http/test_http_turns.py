"""Big answers, and all of Flask's, take turns; small ones pass."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import DeletePoll, SetPollState
from quorate.cluster.read import chunks
from quorate.doors import events
from quorate.doors.event import Event
from quorate.doors.limits import Limits
from quorate.http import asgi
from tests.support.http_node import MOOD, TIMEOUT_S, Node, running
from tests.support.waiting import until, wait_for

BIG = {"id": "big", "options": [f"option {number}" for number in range(50)]}
FOLLOW = b"GET /events?poll=%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 10)
    with running() as node:
        for poll in (MOOD, BIG):
            assert 201 == node.ask("POST", "/polls", poll).status
        yield node


@pytest.mark.parametrize("path", ["/polls/big/results", "/polls/big/results?level=none", "/polls/big"])
def test_what_is_big_waits_for_its_turn_and_what_is_small_does_not(node: Node, path: str) -> None:
    whole = node.ask("GET", path)
    lock = node.api.turns._one
    node.run(lock.acquire())
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(node.ask, "GET", path) for _ in range(3)]
        wait_for("they wait", lambda: lock._waiting)
        assert [200] * 3 == [node.ask("GET", p).status for p in ("/livez", "/polls/mood/results", "/polls/mood")]
        assert not any(each.done() for each in asked)
        node.call(lock.release)
        assert {whole.body} == {each.result(TIMEOUT_S).body for each in asked}


def test_events_of_a_big_poll_wait_for_their_turn_and_others_do_not(node: Node) -> None:
    lock = node.api.turns._one
    node.run(lock.acquire())
    with ExitStack() as sockets:
        big, mood = (sockets.enter_context(node.dial()) for _ in range(2))
        big.sendall(FOLLOW % b"big")
        wait_for("its events wait", lambda: lock._waiting)
        mood.sendall(FOLLOW % b"mood")
        until_seen(mood, b'"results":{"happy":0')
        assert 200 == node.vote(option="happy").status
        until_seen(mood, b'"results":{"happy":1')
        node.call(lock.release)
        until_seen(big, b'"id":"big"')


def test_no_tally_is_told_of_a_big_poll_after_its_deletion(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []
    monkeypatch.setattr(events, "COALESCE_S", 0.0)

    async def scenario() -> None:
        state, turns = node.replica.state, node.api.turns
        streams = events.Events(node.replica, node.api.reads.big, turns)
        stream = streams.open(["big", "mood"])
        put = stream.put

        def noted(event: Event) -> None:
            told.append((event.kind, event.version))
            put(event)

        monkeypatch.setattr(stream, "put", noted)
        await turns._one.acquire()
        for step in (SetPollState("big", "closed"), SetPollState("big", "archived"), DeletePoll("big", None)):
            await node.api.submitter.command(step, timeout_s=60)
        await until("the deletion is told", lambda: ("deleted", state.version) in told)
        turns._one.release()
        await until("nothing more is to be told", lambda: streams._big_round is None)
        streams.close()

    node.call(node.replica.state.raise_level, entry.encode_raise(1))
    node.run(scenario())
    assert ["results", "deleted"] == list(dict.fromkeys(event for event, _ in told))
    assert 1 == [event for event, _ in told].count("results"), "of mood alone"


def test_the_id_of_events_is_never_older_than_one_that_was_sent(node: Node) -> None:
    """A client that comes back with an older one to another node would see an older tally."""

    async def scenario() -> bytes | None:
        stream = events.Events(node.replica, node.api.reads.big, node.api.turns).open(["big", "mood"])
        stream.take()
        stream.put(Event("results", "mood", {"is": "small"}, 20))
        stream.put(Event("results", "big", {"is": "big"}, 10))
        return stream.take()

    small, big = (b'event: results\ndata: {"is":"%b"}\n\n' % name for name in (b"small", b"big"))
    assert small + b"id: 20\n" + big == node.run(scenario())


def until_seen(sock: socket.socket, words: bytes) -> None:
    seen = b""
    while words not in seen:
        seen += sock.recv(65_536)


def test_flask_answers_one_request_at_a_time(node: Node) -> None:
    """Eight threads that compete with the loop for the interpreter made each vote wait for all of them."""
    assert 200 == node.ask("GET", "/version").status
    with ThreadPoolExecutor(4) as pool:
        with node.api.thread_turns._one:
            paths = ["/version", "/leader", "/polls", "/openapi.json"]
            asked = [pool.submit(node.ask, "GET", path) for path in paths]
            wait_for("all have a thread", lambda: node.server._app._in_flask == 4)
            assert [200, 200] == [node.ask("GET", path).status for path in ("/livez", "/polls/mood/results")]
            assert not any(each.done() for each in asked)
        assert [200] * 4 == [each.result(TIMEOUT_S).status for each in asked]


def test_one_address_cannot_keep_all_others_from_flask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for /status without an end kept operators from moving the leader."""
    limits = Limits(threads=4, waiting=4, address_percent=25)
    with running(limits=limits) as node, ThreadPoolExecutor(3) as pool:
        assert 200 == node.ask("GET", "/version").status
        monkeypatch.setattr(asgi, "_share_key", lambda scope: "203.0.113.1")
        with node.api.thread_turns._one:
            asked = [pool.submit(node.ask, "GET", "/version") for _ in range(2)]
            wait_for("both wait", lambda: node.server._app._in_flask == 2)
            assert 429 == node.ask("GET", "/version").status
            monkeypatch.setattr(asgi, "_share_key", lambda scope: "203.0.113.2")
            other = pool.submit(node.ask, "GET", "/version")
            wait_for("another one waits, too", lambda: node.server._app._in_flask == 3)
        assert [200] * 3 == [each.result(TIMEOUT_S).status for each in (*asked, other)]
        assert {} == node.server._app._flask_shares._held
