"""A peer that may be at several addresses, over real sockets: who is dialled where, and who is accepted there."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from quorate.cluster.raft.transport import dialling, inquiry
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from tests.support.waiting import until
from tests.unit.raft.raw_peer import KEY, Node, RawPeer, Run, pair


def at(node: Node) -> str:
    return f"127.0.0.1:{node.port}"


def closed_port() -> str:
    """Nobody listens there, and nobody is given it: ports below 1024 are handed out to nobody."""
    return "127.0.0.1:1"


def test_addresses_are_dialled_in_turn_until_the_peer_answers(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            two.transport.set_members({"n1": [closed_port(), "no-such-name.invalid:1", at(one)]})
            await until("they are connected", lambda: two.up and one.up)
            assert at(one) == two.transport.status()["n1"].address

    run(main())
    assert "cannot reach n1 at 127.0.0.1:1 (" in caplog.text


def test_the_address_that_answered_last_is_dialled_first(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            addresses = [closed_port(), at(one)]
            two.transport.set_members({"n1": addresses})
            await until("they are connected", lambda: two.up)
            two.transport.set_members({"n1": ["127.0.0.1:2", *addresses]})
            assert at(one) == two.transport.status()["n1"].address
            one.transport.refuse("n2", "come again")
            await until("they are connected again", lambda: len(two.up) == 2)
            assert {} == two.transport._dialling.unreached, "no other address was tried"

    run(main())


def test_another_node_at_a_peers_address_is_refused_and_the_next_address_is_dialled(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """For example a node that took over the port of one that moved. It must not pass as that one, nor as itself:
    its own connection would be replaced again and again."""

    async def main() -> None:
        async with Node("n1") as one, Node("n3") as foreign, Node("n4") as four:
            await pair(foreign, four)
            four.transport.set_members({"n1": [at(foreign), at(one)], "n3": [at(foreign)]})
            await until("the real one is connected", lambda: "n1" in four.up)
            assert ["n3", "n1"] == four.up
            assert ([], [], []) == (four.down, foreign.down, foreign.refusals)

    run(main())
    assert "was dialled as an address of n1, and n3 answered there" in caplog.text


def test_who_answers_is_asked_without_a_change_there(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            await pair(one, two)
            found = await one.transport.ask_who_is_at(at(two), "n2")
            assert ("n2", "incarnation of n2") == (found.node_id, found.incarnation)
            assert (["n1"], [], []) == (two.up, two.down, two.refusals)
            await until("the question is over", lambda: not two.transport._handshaking)
            assert 0 == two.transport.refusals

    run(main())
    assert "refused" not in caplog.text


def test_a_newer_connection_comes_with_what_it_would_replace(run: Run) -> None:
    """The listener may keep the open one. What a peer says again on its own connection replaces nothing."""
    replaced: list[str] = []

    class Jealous(Node):
        def opened(self, peer: str, introduction: Introduction, replaces: Introduction | None = None) -> str | None:
            replaced.append("" if replaces is None else replaces.incarnation)
            return "n2 is connected" if replaces is not None else None

    async def main() -> None:
        async with Jealous("n1") as one, await RawPeer.connect(one) as first, await RawPeer.connect(one) as second:
            await first.come_in()
            await until("the first is in", lambda: one.up)
            first.introduce(http="elsewhere")
            await second.come_in()
            assert await second.is_hung_up_on()
            await until("both were judged", lambda: len(replaced) == 3)
            assert ["", "", "of n2"] == sorted(replaced)
            assert (["n2"], []) == (one.up, one.down)

    run(main())


@pytest.mark.parametrize(
    ("asked", "key", "words"),
    [
        ("n9", KEY, "n2 answers there"),
        ("n2", b"the key of another cluster", "its raft.key is another one"),
        ("n2", None, "only one of the two has a raft.key"),
    ],
)
def test_only_that_node_with_the_key_answers(run: Run, asked: str, key: bytes | None, words: str) -> None:
    async def main() -> None:
        async with Node("n1", key=key) as one, Node("n2") as two:
            with pytest.raises(OSError, match=words):
                await one.transport.ask_who_is_at(at(two), asked)

    run(main())


def test_nobody_answers_at_a_closed_port_or_in_silence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiry, "ANSWER_S", 0.2)

    async def main() -> None:
        async with Node("n1") as one:
            with pytest.raises(OSError, match=r".+"):
                await one.transport.ask_who_is_at(closed_port(), "n2")
            with pytest.raises(ValueError, match="is not host:port"):
                await one.transport.ask_who_is_at("nonsense", "n2")
            with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OSError, match="no answer in time"):
                await one.transport.ask_who_is_at(f"127.0.0.1:{silent.getsockname()[1]}", "n2")

    run(main())


def test_a_name_is_resolved_anew_at_each_dial_and_each_of_its_addresses_has_its_turn(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod keeps its name and gets another address. A name of several addresses may begin with one that is dead."""
    asked = 0

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:

            async def resolve(address: str) -> list[tuple[str, int]]:
                nonlocal asked
                asked += 1
                host, port = closed_port().split(":")
                return [(host, int(port))] * (1 + (asked > 1)) + [("127.0.0.1", one.port)] * (asked > 2)

            monkeypatch.setattr(dialling, "resolve", resolve)
            two.transport.set_members({"n1": ["n1.pods.example:9001"]})
            await until("they are connected", lambda: two.up)

    run(main())
    assert asked >= 3


def test_the_resolver_is_asked_each_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        answers: list[Any] = [[("10.0.0.1", 9001)], [("10.0.0.2", 9001), ("10.0.0.2", 9001)]]

        async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            return [(2, 1, 6, "", address) for address in answers.pop(0)]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        assert [("10.0.0.1", 9001)] == await inquiry.resolve("n1.pods.example:9001")
        assert [("10.0.0.2", 9001)] == await inquiry.resolve("n1.pods.example:9001")
        assert [("::1", 9001)] == await inquiry.resolve("[::1]:9001")

    run(main())
