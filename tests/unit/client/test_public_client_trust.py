"""Whom the public clients trust, and what a cancelled batch of a session leaves: nothing, or what is settled later."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate import AsyncClient, Client, errors
from quorate.client import target
from tests.support.certificates import Authority
from tests.support.scripted_node import COUNTED, ScriptedNode, nowhere

Start = Callable[..., ScriptedNode]
Vote = Callable[..., Any]


def by_thread(*nodes: str, **named: Any) -> Any:
    with Client(list(nodes), **named) as client:
        return client.vote("happy")


def by_task(*nodes: str, **named: Any) -> Any:
    async def vote() -> Any:
        async with AsyncClient(list(nodes), **named) as client:
            return await client.vote("happy")

    return asyncio.run(vote())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secure(tmp_path: Path, authority: Authority) -> Iterator[ScriptedNode]:
    certificate, key = authority.issue()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    node = ScriptedNode([(200, COUNTED)], tls=context)
    yield node
    node.stop()


both = pytest.mark.parametrize("vote", [by_thread, by_task])


@both
def test_a_node_whose_authority_is_named_is_trusted(secure: ScriptedNode, authority: Authority, vote: Vote) -> None:
    assert 1 == vote(secure.url, ca=authority.file).applied


@both
def test_another_node_is_surely_told_nothing(secure: ScriptedNode, vote: Vote) -> None:
    with pytest.raises(errors.NoLeader, match=r"its certificate is not trusted: .* --ca"):
        vote(secure.url, timeout_s=0.5)
    assert [] == secure.requests


@both
def test_a_proxy_of_the_environment_is_asked_and_loopback_never(
    node: Start, vote: Vote, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = node((200, COUNTED))
    monkeypatch.setenv("http_proxy", proxy.url)
    assert 1 == vote("http://quorate.example:8001", timeout_s=20).applied
    assert "http://quorate.example:8001/votes" == proxy.requests[0][1]
    with pytest.raises(errors.NoLeader):
        vote(nowhere(), timeout_s=0.3)
    assert 1 == len(proxy.requests)


@both
def test_a_name_that_nobody_knows_is_no_doubt(vote: Vote, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(errors.NoLeader, match="its name cannot be looked up"):
        vote("http://no-such-host.invalid:8001", timeout_s=0.5)


def test_a_name_server_that_does_not_answer_is_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """By asyncio the name is looked up in a thread, and the time of the whole request ends before anything was sent."""
    over = threading.Event()

    def silent(*_: object, **__: object) -> Any:
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async def vote() -> None:
        async with AsyncClient(["http://node.example:8001"], timeout_s=0.5) as client:
            with pytest.raises(errors.NoLeader, match="cannot be reached"):
                await client.vote("happy")
        over.set()

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    try:
        asyncio.run(vote())
    finally:
        over.set()


@both
def test_nodes_are_looked_up_in_consul(node: Start, vote: Vote, monkeypatch: pytest.MonkeyPatch) -> None:
    n1, asked = node((200, COUNTED)), list[str]()

    def find(agent: str) -> list[str]:
        asked.append(agent)
        return [nowhere()] if len(asked) == 1 else [n1.url]

    monkeypatch.setattr(target, "_in_consul", find)
    monkeypatch.delenv("QUORATE_NODES", raising=False)
    monkeypatch.setenv("QUORATE_CONSUL", "agent:8500")
    monkeypatch.setattr(target, "DEFAULT_NODES", ())
    made = by_thread_from_environment if vote is by_thread else by_task_from_environment
    assert 1 == made().applied
    assert ["agent:8500"] * 2 == asked, "once more, as nobody was reached"


def by_thread_from_environment() -> Any:
    with Client() as client:
        return client.vote("happy")


def by_task_from_environment() -> Any:
    async def vote() -> Any:
        async with AsyncClient() as client:
            return await client.vote("happy")

    return asyncio.run(vote())


def test_a_cancelled_batch_is_settled_by_the_next_one(node: Start) -> None:
    n1 = node((200, {"producer": "p", "epoch": 1, "sequence": 0}), "hang", (200, COUNTED))

    async def main() -> None:
        async with AsyncClient(n1.url) as client:
            session = await client.session("p")
            sending = asyncio.ensure_future(session.send(["happy"]))
            while len(n1.requests) < 2:
                await asyncio.sleep(0.01)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert session.in_doubt
            await session.send(["sad"])
            assert (2, False) == (session.sequence, session.in_doubt)

    asyncio.run(main())
    n1.release.set()
    assert ["happy", "happy", "sad"] == [body.split(b'"')[3].decode() for _, _, body, _ in n1.requests[1:]]
