"""What a client is told when a vote has no outcome, and how connections end. An error says: surely not counted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from quorate.doors.limits import Limits
from tests.support.resp_client import Client, Closed, Error, command, xadd
from tests.support.resp_node import RespNode, running
from tests.support.waiting import let_pass, wait_for


@pytest.fixture
def node() -> Iterator[RespNode]:
    with running() as node:
        node.create()
        yield node


@pytest.fixture
def client(node: RespNode) -> Iterator[Client]:
    with node.connect() as client:
        yield client


def hold(node: RespNode) -> None:
    """Proposals wait from now on."""

    def do() -> None:
        node.http.replica.held = []

    node.http.call(do)


def lead(node: RespNode, leader: str | None) -> None:
    node.http.call(node.http.replica.lead, leader)


def under_way(node: RespNode) -> None:
    wait_for("a vote is proposed", lambda: node.http.call(lambda: bool(node.http.replica.held)))


def test_without_a_leader_a_vote_is_surely_not_counted(node: RespNode, client: Client) -> None:
    lead(node, None)
    node.give_up_after(0.3)
    client.send(xadd(1) + command("HGETALL", "poll:mood") + command("PING"))
    vote, read, pong = client.replies(3)
    assert ("CLUSTERDOWN", "CLUSTERDOWN", "PONG") == (vote.code, read.code, pong)
    lead(node, "n1")
    node.give_up_after(30)
    client.send(xadd(1) + xadd(1, option="sad"))
    counted, conflict = client.replies(2)
    assert isinstance(counted, str)
    assert "CONFLICT" == conflict.code
    assert {"happy": 1, "sad": 0} == node.tally()


def test_without_a_leader_a_node_answers_by_itself_after_readonly(node: RespNode, client: Client) -> None:
    client.send(xadd(1) + command("READONLY"))
    client.replies(2)
    lead(node, None)
    node.give_up_after(0.3)
    assert ["happy", "1", "sad", "0"] == client.ask("HGETALL", "poll:mood")
    assert "CLUSTERDOWN" == client.ask("HGETALL", "linearizable:poll:mood").code
    assert "OK" == client.ask("READWRITE")
    assert "CLUSTERDOWN" == client.ask("HGETALL", "poll:mood").code


def test_an_unknown_outcome_closes_the_connection_without_an_error(node: RespNode, client: Client) -> None:
    hold(node)
    client.send(command("PING") + xadd(1) + command("PING"))
    assert "PONG" == client.reply()
    under_way(node)
    held = node.http.replica.held
    lead(node, "n2")
    assert client.is_closed()
    assert held is not None
    node.http.replica.held = None
    lead(node, "n1")
    with node.connect() as again:
        again.send(xadd(1))
        assert isinstance(again.reply(), str)
    assert {"happy": 1, "sad": 0} == node.tally()


def test_a_vote_that_takes_too_long_closes_the_connection_and_counts_once(node: RespNode, client: Client) -> None:
    hold(node)
    node.give_up_after(0.3)
    client.send(xadd(1))
    assert client.is_closed()
    node.give_up_after(30)
    node.http.call(node.http.replica.commit_held)
    assert {"happy": 1, "sad": 0} == node.tally()
    with node.connect() as again:
        again.send(xadd(1))
        assert isinstance(again.reply(), str)
    assert {"happy": 1, "sad": 0} == node.tally()
    assert 1 == node.door.counts.unknown_outcomes


def test_a_transaction_with_an_unknown_outcome_closes_the_connection(node: RespNode, client: Client) -> None:
    hold(node)
    node.give_up_after(0.3)
    client.send(command("MULTI") + xadd(1) + command("PING") + command("EXEC"))
    assert ["OK", "QUEUED", "QUEUED"] == client.replies(3)
    rest = client.rest()
    assert b"-" not in rest
    assert b"PONG" not in rest


def test_a_vote_goes_on_when_its_client_leaves(node: RespNode) -> None:
    hold(node)
    with node.connect() as client:
        client.send(xadd(1) + xadd(2, option="sad"))
        under_way(node)
    node.http.call(node.http.replica.commit_held)
    wait_for("the connection is gone", lambda: not node.connections())
    assert {"happy": 1, "sad": 1} == node.tally()


def ends_its_side(client: Client) -> None:
    client.sock.shutdown(socket.SHUT_WR)


def test_a_client_that_sends_nothing_more_gets_the_replies_to_what_it_sent(node: RespNode, client: Client) -> None:
    """As by `printf … | nc`. Redis answers it, too."""
    client.send(xadd(1) + command("HGETALL", "poll:mood") + command("PING") * 1_000 + xadd(2))
    ends_its_side(client)
    first, tally, *pongs, second = client.replies(1_003)
    assert [str, str] == [type(first), type(second)]
    assert ["happy", "1", "sad", "0"] == tally
    assert {"PONG"} == {*pongs}
    assert client.is_closed()


def test_a_client_that_sends_nothing_more_is_closed_if_it_has_asked_for_nothing(node: RespNode) -> None:
    for sent in (b"", b"*2\r\n$4\r\nECHO\r\n", command("SUBSCRIBE", "poll:mood")):
        with node.connect() as client:
            client.send(sent)
            ends_its_side(client)
            client.rest()
    wait_for("all are gone", lambda: not node.connections())


def test_a_client_that_sends_nothing_more_and_reads_nothing_is_cut() -> None:
    with running() as node, node.connect_lazy() as client:
        client.send(command("ECHO", "x" * 16_000) * 200)
        ends_its_side(client)
        node.http.limit(stall_timeout_s=0.5)
        wait_for("it is cut", lambda: not node.connections())


def test_a_node_that_stops_answers_the_votes_that_are_under_way() -> None:
    with running() as node, node.connect() as client, node.connect() as idle:
        node.create()
        hold(node)
        client.send(xadd(1))
        under_way(node)
        client.send(xadd(2) + command("PING"))  # comes too late
        stopping = asyncio.run_coroutine_threadsafe(node.server.stop(5.0), node.http.loop)
        assert idle.is_closed()
        node.http.call(node.http.replica.commit_held)
        assert isinstance(client.reply(), str)
        assert client.is_closed()
        stopping.result(10)
        assert {"happy": 1, "sad": 0} == node.tally()


def test_a_node_that_stops_cuts_votes_that_get_no_outcome() -> None:
    with running() as node, node.connect() as client:
        node.create()
        hold(node)
        client.send(xadd(1))
        under_way(node)
        asyncio.run_coroutine_threadsafe(node.server.stop(0.1), node.http.loop).result(10)
        assert client.is_closed()


def test_a_node_that_has_not_joined_says_that_it_loads() -> None:
    with running(form=False) as node, node.connect() as client:
        client.send(xadd(1) + command("PING"))
        vote, pong = client.replies(2)
        assert ("LOADING", "PONG") == (vote.code, pong)


def test_wrong_protocol_is_told_behind_the_replies_before_it(client: Client) -> None:
    client.send(command("PING") + xadd(1) + b"*x\r\n" + xadd(2))
    assert "PONG" == client.reply()
    assert isinstance(client.reply(), str)
    assert Error("ERR Protocol error: invalid multibulk length") == client.reply()
    assert client.is_closed()


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\n",
        b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\n\r\n",
        b"Host: 127.0.0.1\r\n\r\n",
        b"POST /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_a_web_page_reaches_no_command_and_gets_no_answer(node: RespNode, client: Client, head: bytes) -> None:
    body = xadd(1) + b"XADD poll:mood IDMP a 2 * option happy\r\n"
    with contextlib.suppress(ConnectionError):
        client.send(head + body)
    assert b"" == client.rest()
    assert {"happy": 0, "sad": 0} == node.tally()
    assert not node.door.counts.commands["XADD"]


def test_a_command_that_comes_in_drops_is_given_up() -> None:
    """Each byte made the connection look as if it had just been used."""
    with running(limits=Limits(body_timeout_s=0.5)) as node, node.connect() as client, node.connect() as idle:
        for byte in b"*2\r\n$4\r\nECHO\r\n$10000\r\n" + b"a" * 1_000:
            try:
                client.send(bytes([byte]))
            except ConnectionError:
                break
            let_pass(0.02, because="the client is slow")
        with pytest.raises(Closed):
            client.reply()
        assert "PONG" == idle.ask("PING")


def test_a_stream_whose_pieces_end_in_the_middle_of_commands_goes_on() -> None:
    with running() as node, node.connect() as client:
        one = command("ECHO", "abc")
        client.send(one[:5])
        (connection,) = node.connections()
        for _ in range(10):
            before_s = connection._idle_since_s
            let_pass(0.01, because="the loop's clock counts milliseconds")
            client.send(one[5:] + one[:5])
            assert "abc" == client.reply()
            assert connection._idle_since_s > before_s, "the time of the next one begins"


def test_an_idle_client_makes_room_before_one_whose_command_is_half_there() -> None:
    """The half command began before: it has waited longest."""
    with running(limits=Limits(connections=2)) as node, node.connect() as half, node.connect() as idle:
        half.send(b"*2\r\n$4\r\nECHO\r\n")
        wait_for("it is there", lambda: any(each._parser.waits for each in node.connections()))
        let_pass(0.02, because="the loop's clock counts milliseconds, and what began in the same one is equal")
        assert "PONG" == idle.ask("PING")
        half.send(b"$")
        with node.connect() as third:
            assert "PONG" == third.ask("PING")
            assert half.is_closed()
            assert "PONG" == idle.ask("PING")


def test_connections_of_both_doors_have_the_same_places() -> None:
    with running(limits=Limits(connections=2)) as node, node.http.dial(), node.http.dial():
        wait_for("both are there", lambda: len(node.door.places.connections) == 2)
        with node.connect() as client:  # the one that idles longest makes room
            assert "PONG" == client.ask("PING")
            assert len(node.door.places.connections) <= 3


def test_what_all_connections_hold_has_one_budget_and_who_holds_little_is_spared() -> None:
    """Half commands cost nobody anything to send: each may hold a megabyte."""
    with running(limits=Limits(waiting_bytes=200_000)) as node, contextlib.ExitStack() as stack:
        node.create()
        half, little = b"*2\r\n$4\r\nECHO\r\n$15000\r\n" + b"x" * 14_000, command("ECHO", "y" * 4_000)
        greedy = [stack.enter_context(node.connect()) for _ in range(20)]
        modest = stack.enter_context(node.connect())
        assert {"PONG"} == {client.ask("PING") for client in (*greedy, modest)}
        modest.send(little[:2_000])
        for client in greedy:
            client.send(half)
        wait_for("the last ones are broken off", lambda: len(node.connections()) < 21)
        assert node.door.waiting.held <= 200_000
        modest.send(little[2_000:])
        assert "y" * 4_000 == modest.reply()
        for client in greedy:
            client.sock.close()
        wait_for("all is given back", lambda: not node.door.waiting.held)


def test_a_transaction_counts_to_the_budget_until_it_is_over() -> None:
    with running() as node, node.connect() as client:
        node.create()
        client.ask("MULTI")
        for _ in range(10):
            client.ask("ECHO", "x" * 10_000)
        assert node.door.waiting.held > 100_000
        assert 10 == len(client.ask("EXEC"))
        wait_for("it is given back", lambda: not node.door.waiting.held)


def test_a_connection_that_is_lost_holds_nothing_of_what_came() -> None:
    """Its objects are left to the collector of garbage, which comes seldom: with what they held a node took 400 MB."""
    with running() as node:
        node.create()
        with node.connect() as client:
            assert "OK" == client.ask("MULTI")
            assert "QUEUED" == client.ask("ECHO", "x" * 10_000)
            client.send(b"*3\r\n$4\r\nECHO\r\n$15000\r\n" + b"x" * 15_000 + b"\r\n$15000\r\n" + b"x" * 10_000)
            (connection,) = node.connections()
            wait_for("a part is held", lambda: connection._parser.held_bytes > 20_000)
        wait_for("it is lost", lambda: connection.is_lost)
        assert (0, None) == (connection._parser.held_bytes, connection.session.queued)
