"""What a client of a chaos run learns of a request: an answer, that it never left, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from quorate.chaos.workload import exchange
from quorate.chaos.workload.exchange import AskedNode, KeptConnection, LostAnswer, NeverSent, NodeAnswer
from quorate.processes.ports import free_ports

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Quorate-Node: n2\r\nX-Quorate-Version: 17\r\n\r\n{}"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def _has_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment has sent nothing then."""
    monkeypatch.setattr(exchange, "CONNECT_S", 60.0)


async def asked(serve: Serve, times: int = 1, timeout_s: float = 5.0) -> list[NodeAnswer]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        connection = KeptConnection(AskedNode("n1", "127.0.0.1", server.sockets[0].getsockname()[1], token="t1"))
        try:
            return [await connection.ask("POST", "/votes", b"{}", timeout_s=timeout_s) for _ in range(times)]
        finally:
            connection.close()


def test_an_answer_has_its_node_and_its_version_and_the_connection_stays() -> None:
    seen: list[bytes] = []
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        while head := await reader.readuntil(b"\r\n\r\n"):
            seen.append(head + await reader.readexactly(2))
            writer.write(ANSWER)
            if len(seen) == 2:
                break
        writer.close()

    answers = asyncio.run(asked(serve, times=2))
    assert [NodeAnswer(200, b"{}", "n2", 17)] * 2 == answers
    assert 1 == len(connections)
    assert b"POST /votes HTTP/1.1\r\n" == seen[0][:22]
    assert b"Authorization: Bearer t1\r\n" in seen[0]


def test_a_connection_that_nobody_takes_sent_nothing() -> None:
    (port,) = free_ports(1)

    async def ask() -> None:
        await KeptConnection(AskedNode("n1", "127.0.0.1", port)).ask("POST", "/votes", b"{}")

    with pytest.raises(NeverSent):
        asyncio.run(ask())


def test_a_connection_that_ends_before_the_answer_leaves_it_open() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER[:-1])
        writer.close()

    with pytest.raises(LostAnswer):
        asyncio.run(asked(hang_up))


def test_no_answer_in_time_leaves_it_open() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    with pytest.raises(LostAnswer, match="timeout"):
        asyncio.run(asked(say_nothing, timeout_s=0.05))
