"""Many commands at once: their order, their replies, and the turns that others get meanwhile."""

from __future__ import annotations

import asyncio
import socket

from tests.support.resp_client import Error, command, xadd
from tests.support.resp_node import running
from tests.support.waiting import wait_for


def test_a_vote_is_seen_by_what_follows_it() -> None:
    with running() as node, node.connect() as client:
        node.create()
        client.send(xadd(1) + command("HGET", "poll:mood", "happy") + xadd(2) + command("HGETALL", "poll:mood"))
        first, happy, second, tally = client.replies(4)
    assert "1" == happy
    assert ["happy", "2", "sad", "0"] == tally
    assert int(first.partition("-")[0]) < int(second.partition("-")[0])


def test_replies_come_in_the_order_of_the_commands() -> None:
    with running() as node, node.connect() as client:
        node.create()
        for number in range(0, 1_000, 4):
            client.send(command("ECHO", number) + xadd(number) + command("HLEN", "poll:mood") + b"ECHO last\r\n")
        for number in range(0, 1_000, 4):
            echo, vote, options, last = client.replies(4)
            assert (str(number), "0", 2, "last") == (echo, vote.partition("-")[2], options, last)


def test_votes_that_come_together_are_few_entries() -> None:
    """10,000 in one write; each 500 that stand next to each other are one entry."""
    with running() as node, node.connect() as client:
        node.create()
        client.send(b"".join(xadd(number) for number in range(10_000)))
        versions = {reply.partition("-")[0] for reply in client.replies(10_000)}
        assert {"happy": 10_000, "sad": 0} == node.tally()
        client.send(b"".join(xadd(number) for number in range(10_000)))
        client.replies(10_000)
        assert {"happy": 10_000, "sad": 0} == node.tally()
    assert len(versions) < 100


def test_more_is_written_at_once_than_is_held() -> None:
    with running() as node, node.connect() as client:
        node.create()
        count = 1_200_000 // len(xadd(10_000))
        client.send(b"".join(xadd(10_000 + number) for number in range(count)) + command("PING"))
        assert "PONG" == client.replies(count + 1)[-1]
        assert {"happy": count, "sad": 0} == node.tally()


def test_votes_that_are_refused_at_once_do_not_stand_on_each_other() -> None:
    """A node that has not joined refuses without waiting. 2,000 of these, each with another command behind it, ended
    the connection: the first was still being refused while the last was begun."""
    with running(form=False) as node, node.connect() as client:
        client.send((xadd(1) + command("PING")) * 2_000)
        replies = client.replies(4_000)
    assert ["PONG"] * 2_000 == replies[1::2]
    assert {"LOADING"} == {reply.code for reply in replies[::2]}


def test_one_wrong_vote_of_many_is_told_in_its_place() -> None:
    with running() as node, node.connect() as client:
        node.create()
        client.send(
            xadd(1)
            + command("XADD", "poll:mood", "*", "option", "happy")
            + xadd(2, option="angry")
            + command("XADD", "poll:mood")
            + xadd(3, poll="nowhere")
            + xadd(1, option="sad")
            + xadd(4)
        )
        replies = client.replies(7)
        assert {"happy": 2, "sad": 0} == node.tally()
    assert [True, False, False, False, False, False, True] == [isinstance(reply, str) for reply in replies]
    codes = [reply.code for reply in replies if isinstance(reply, Error)]
    assert ["ERR", "NOOPTION", "ERR", "NOPOLL", "CONFLICT"] == codes


def test_others_have_their_turn_while_one_client_sends_very_much() -> None:
    count = 20_000
    with running() as node, node.connect() as client:
        run = node.door.counts.commands

        async def turns() -> int:
            seen = set()
            while run["ECHO"] < count:
                seen.add(run["ECHO"])
                await asyncio.sleep(0)
            return len(seen)

        watched = asyncio.run_coroutine_threadsafe(turns(), node.http.loop)
        client.send(command("ECHO", "a") * count)
        assert ["a"] * count == client.replies(count)
        assert watched.result(10) > count / 250


def test_long_replies_are_written_before_more_are_made() -> None:
    """A list of commands has kilobytes, and is asked for in 14 bytes."""
    with running() as node, node.connect_lazy() as client:
        client.send(command("COMMAND") * 300)  # of 4,400 bytes each
        (connection,) = node.connections()
        wait_for("the client leaves replies unread", lambda: connection._writing_paused)
        assert node.http.call(connection.transport.get_write_buffer_size) < 100_000
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        assert 300 == len(client.replies(300))
