from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from quorate.resp.gathered import GatheredVotes
from quorate.resp.running import VOTES_A_TURN
from tests.support.resp_client import Client, Error, command, xadd
from tests.support.resp_node import RespNode, running
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def node() -> Iterator[RespNode]:
    with running() as node:
        node.create()
        yield node


@pytest.fixture
def client(node: RespNode) -> Iterator[Client]:
    with node.connect() as client:
        yield client


NESTED = Error("ERR MULTI calls can not be nested")
ABORTED = Error("EXECABORT Transaction discarded because of previous errors.")
NO_EXEC = Error("ERR EXEC without MULTI")
WATCHED = Error("ERR WATCH inside MULTI is not allowed")


@pytest.mark.parametrize(
    ("lines", "replies"),
    [
        ("EXEC", [NO_EXEC]),
        ("DISCARD", [Error("ERR DISCARD without MULTI")]),
        ("UNWATCH", ["OK"]),
        ("MULTI; EXEC; EXEC", ["OK", [], NO_EXEC]),
        ("MULTI; PING; EXEC", ["OK", "QUEUED", ["PONG"]]),
        ("MULTI; MULTI; PING; EXEC", ["OK", NESTED, "QUEUED", ["PONG"]]),
        ("MULTI; WATCH a; PING; EXEC", ["OK", WATCHED, "QUEUED", ["PONG"]]),
        ("MULTI; UNWATCH; EXEC", ["OK", "QUEUED", ["OK"]]),
        ("MULTI; PING; DISCARD; EXEC", ["OK", "QUEUED", "OK", NO_EXEC]),
        ("MULTI; PING; RESET; EXEC", ["OK", "QUEUED", "RESET", NO_EXEC]),
        ("MULTI; ECHO; PING; EXEC; PING", ["OK", None, "QUEUED", ABORTED, "PONG"]),
        ("MULTI; NOPE; EXEC; EXEC", ["OK", None, ABORTED, NO_EXEC]),
        ("MULTI; HELLO 3; EXEC", ["OK", None, ABORTED]),
        ("MULTI; DISCARD a; EXEC", ["OK", None, ABORTED]),
        ("MULTI; EXEC a; EXEC", ["OK", None, ABORTED]),
        ("multi; ping; exec", ["OK", "QUEUED", ["PONG"]]),
        ("MULTI; SELECT 7; PING; EXEC", ["OK", "QUEUED", "QUEUED", [None, "PONG"]]),
    ],
)
def test_transactions_answer_as_those_of_redis(client: Client, lines: str, replies: list[Any]) -> None:
    """None stands for an error of any text."""

    def plain(reply: Any, expected: Any) -> Any:
        if isinstance(expected, list) and isinstance(reply, list):
            return [plain(*pair) for pair in zip(reply, expected, strict=True)]
        return None if expected is None and isinstance(reply, Error) else reply

    client.send("".join(f"{line.strip()}\r\n" for line in lines.split(";")).encode())
    assert replies == [plain(client.reply(), expected) for expected in replies]


def test_quit_ends_a_transaction_and_the_connection(client: Client) -> None:
    client.send(command("MULTI") + command("PING") + command("QUIT") + command("EXEC"))
    assert ["OK", "QUEUED", "OK"] == client.replies(3)
    assert client.is_closed()


def test_watch_is_refused_in_words(client: Client) -> None:
    assert "cannot be kept" in client.ask("WATCH", "poll:mood").text


def test_the_votes_of_a_transaction_are_one_entry(client: Client, node: RespNode) -> None:
    before = len(node.http.replica.proposed)
    client.send(command("MULTI") + b"".join(xadd(f"t{number}") for number in range(1_000)) + command("EXEC"))
    replies = client.replies(1_002)[-1]
    assert before + 1 == len(node.http.replica.proposed)
    assert {replies[0].partition("-")[0]} == {reply.partition("-")[0] for reply in replies}
    assert [f"{number}" for number in range(1_000)] == [reply.partition("-")[2] for reply in replies]


def test_votes_and_reads_of_a_transaction_are_answered_in_its_array(client: Client) -> None:
    client.send(
        command("MULTI")
        + xadd("m1")
        + command("HLEN", "poll:mood")
        + xadd("m1", option="sad")
        + xadd("m2", poll="nowhere")
        + command("EXISTS", "poll:mood", "poll:nowhere")
        + command("EXEC")
        + command("PING")
    )
    *queued, answered, pong = client.replies(8)
    assert ["OK", *["QUEUED"] * 5] == queued
    vote, options, conflict, nowhere, there = answered
    assert (2, 1, "CONFLICT", "NOPOLL", "PONG") == (options, there, conflict.code, nowhere.code, pong)
    assert isinstance(vote, str)


def test_votes_behind_a_transaction_are_not_in_its_array(client: Client) -> None:
    client.send(command("MULTI") + xadd("b1") + command("EXEC") + xadd("b2") + xadd("b3"))
    _, _, array, second, third = client.replies(5)
    assert 1 == len(array)
    assert [str, str] == [type(second), type(third)]


def test_a_transaction_that_is_left_is_not_run(node: RespNode) -> None:
    with node.connect() as client:
        client.send(command("MULTI") + xadd("left"))
        client.replies(2)
    with node.connect() as client:
        assert isinstance(client.ask(*["XADD", "poll:mood", "IDMP", "ana", "left", "*", "option", "sad"]), str)


def test_ten_thousand_votes_are_one_transaction(client: Client, node: RespNode) -> None:
    before = sum(node.tally().values())
    client.send(command("MULTI") + b"".join(xadd(f"many{number}") for number in range(10_000)) + command("EXEC"))
    assert 10_000 == len(client.replies(10_002)[-1])
    assert before + 10_000 == sum(node.tally().values())


def test_the_loop_does_other_things_while_the_votes_of_transactions_are_parsed(
    client: Client, node: RespNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_turn, add = [0], GatheredVotes.add

    async def count_turns() -> None:
        while True:
            in_turn.append(0)
            await asyncio.sleep(0)

    def counted(gathered: GatheredVotes, vote: list[bytes]) -> None:
        in_turn[-1] += 1
        add(gathered, vote)

    monkeypatch.setattr(GatheredVotes, "add", counted)
    counting = asyncio.run_coroutine_threadsafe(count_turns(), node.http.loop)
    with node.connect() as other:
        for each, name in ((client, "ann"), (other, "bob")):
            each.send(command("MULTI") + b"".join(xadd(n, producer=name) for n in range(2_000)))
            each.replies(2_001)
        for each in (client, other):
            each.send(command("EXEC") + xadd("behind"))
        for each in (client, other):
            assert 2_000 == len(each.reply())
            assert isinstance(each.reply(), str)  # it waited for the transaction
    counting.cancel()
    assert 4_002 == sum(in_turn)
    assert max(in_turn) < 2 * VOTES_A_TURN  # others may vote meanwhile


def test_a_client_that_leaves_while_its_transaction_is_parsed_has_none_counted(
    node: RespNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed, add = [0], GatheredVotes.add

    def counted(gathered: GatheredVotes, vote: list[bytes]) -> None:
        parsed[0] += 1
        add(gathered, vote)
        if parsed[0] == VOTES_A_TURN + 1:
            for connection in node.server._connections:
                connection.transport.abort()

    monkeypatch.setattr(GatheredVotes, "add", counted)
    before = node.tally()
    with node.connect() as client:
        client.send(command("MULTI") + b"".join(xadd(f"gone{n}") for n in range(2_000)) + command("EXEC"))
        wait_for("it is closed", lambda: not node.connections())
    assert (2 * VOTES_A_TURN, before) == (parsed[0], node.tally())


@pytest.mark.parametrize(
    "many",
    [command("PING") * 10_001, command("EXISTS", *["a" * 10] * 1_000) * 200, command("EXISTS", *[""] * 1_000) * 250],
    ids=["commands", "bytes", "empty arguments"],
)
def test_a_transaction_has_a_bound_in_memory(client: Client, many: bytes) -> None:
    """Arguments without a byte took 48 bytes each, and ten thousand commands of such were taken."""
    client.send(command("MULTI") + many + command("EXEC") + command("PING"))
    replies: list[Any] = []
    while not replies or replies[-1] != "PONG":
        replies.append(client.reply())
    assert "TOOLARGE" in {reply.code for reply in replies if isinstance(reply, Error)}
    assert ABORTED == replies[-2]
