"""What a Redis client of a chaos run sends, and what it takes a broken connection for. It goes where MOVED sends it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from quorate.chaos.history import FORMAT, Cast, Header, HistoryFile, read_history
from quorate.chaos.workload import redis_exchange
from quorate.chaos.workload.casting import VotingClient
from quorate.chaos.workload.exchange import AskedNode, LostAnswer, NeverSent
from quorate.chaos.workload.ledger import Ledger, redis_request_of
from quorate.chaos.workload.plan import RunPolls
from quorate.chaos.workload.recorder import Recorder
from quorate.chaos.workload.redis_exchange import RedisConnection
from quorate.chaos.workload.redis_replies import ReplyReader, command
from quorate.chaos.workload.scene import Scene
from quorate.config import Address

PING = command("PING")


@pytest.fixture(autouse=True)
def _has_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment has sent nothing then."""
    monkeypatch.setattr(redis_exchange, "CONNECT_S", 60.0)


async def served(answer: Callable[[bytes], bytes | None], ask: Callable[[int], Awaitable[None]]) -> None:
    """A server that answers what comes; None: it closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if (told := answer(data)) is None:
                break
            writer.write(told)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await ask(server.sockets[0].getsockname()[1])


def node(port: int, token: str | None = None, name: str = "n1") -> AskedNode:
    return AskedNode(name, "127.0.0.1", 1, token=token, redis=Address("127.0.0.1", port))


def test_replies_come_in_any_pieces() -> None:
    told = b"+OK\r\n-ERR no such thing\r\n:7\r\n$2\r\nhi\r\n*2\r\n$-1\r\n%1\r\n+a\r\n:1\r\n"
    for size in range(1, len(told)):
        reader, found = ReplyReader(), []
        for at in range(0, len(told), size):
            reader.feed(told[at : at + size])
            while (reply := reader.take()) is not None:
                found.append(reply.value)
        assert "OK" == found[0]
        assert "ERR" == found[1].code
        assert [7, "hi", [None, {"a": 1}]] == found[2:]
        assert b"" == reader.left


def test_a_connection_that_breaks_leaves_the_outcome_open() -> None:
    async def ask(port: int) -> None:
        connection = RedisConnection(node(port))
        with pytest.raises(LostAnswer, match="EOFError"):
            await connection.ask(PING, 1)

    asyncio.run(served(lambda data: None, ask))


def test_an_answer_that_is_no_reply_leaves_the_outcome_open() -> None:
    async def ask(port: int) -> None:
        with pytest.raises(LostAnswer, match="no reply begins"):
            await RedisConnection(node(port)).ask(PING, 1)

    asyncio.run(served(lambda data: b"HTTP/1.1 400\r\n", ask))


def test_no_answer_in_time_leaves_the_outcome_open() -> None:
    async def ask(port: int) -> None:
        with pytest.raises(LostAnswer, match="timeout"):
            await RedisConnection(node(port)).ask(PING, 1, timeout_s=0.05)

    asyncio.run(served(lambda data: b"", ask))


def test_a_token_that_is_refused_means_that_nothing_was_sent() -> None:
    async def ask(port: int) -> None:
        with pytest.raises(NeverSent, match="WRONGPASS"):
            await RedisConnection(node(port, "t1")).ask(PING, 1)

    asyncio.run(served(lambda data: b"-WRONGPASS no\r\n" if b"AUTH" in data else b"+PONG\r\n", ask))


def test_nobody_who_listens_means_that_nothing_was_sent() -> None:
    async def ask() -> None:
        with pytest.raises(NeverSent, match="ConnectionRefusedError"):
            await RedisConnection(node(1)).ask(PING, 1)

    asyncio.run(ask())


def test_a_cluster_client_goes_where_it_is_sent_and_stays(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "history.ndjson")
    history.write(Header(FORMAT, "test", 1, 0, {"n1": ""}, 1000))
    opened: list[bytes] = []

    def follower(leader: int) -> Callable[[bytes], bytes]:
        def answer(data: bytes) -> bytes:
            if b"XADD" in data:
                return b"-MOVED 42 127.0.0.1:%d\r\n" % leader
            opened.append(data)
            return b"+OK\r\n"

        return answer

    async def ask_leader(leader: int) -> None:
        async def ask(port: int) -> None:
            nodes = [node(port, name="n1"), node(1, name="n2"), node(leader, name="n3")]
            recorder = Recorder(history, lambda change: None)
            scene = Scene(nodes, RunPolls("c1", redis=True), recorder, Ledger(1000))
            client = VotingClient("c", scene, 0, random.Random(0), cluster_client=True)
            for number in range(2):
                name = f"c1.c.{number}"
                request = redis_request_of(name, [scene.polls.redis.choose(client.chance, name)])
                assert await client.until_told(request, patience_s=5)
                client.go_home()
            client.close()

        await served(follower(leader), ask)

    asyncio.run(served(lambda data: b"$4\r\n17-0\r\n" if b"XADD" in data else b"+OK\r\n", ask_leader))
    history.close()
    casts = [each for each in read_history(history.path) if isinstance(each, Cast)]
    assert [("n1", "fail"), ("n3", "ok"), ("n3", "ok")] == [(each.node, each.outcome) for each in casts]
    assert [0, 1, 1] == [each.counted for each in casts]
    assert [command("HELLO", 3), command("CLUSTER", "SLOTS")] == opened
