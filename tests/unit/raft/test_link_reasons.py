"""Both sides of a connection that cannot come about say why: in the log, once in a while, and in the status."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading

import pytest

from quorate.cluster.raft.transport import connection, transport
from quorate.cluster.raft.transport.handshake.cipher import NONCE_BYTES
from quorate.cluster.raft.transport.handshake.hello import PROTOCOL, Hello
from quorate.cluster.raft.transport.link_reasons import ENDED_EARLY, FRESH_S, OTHER_KEY, LinkReasons
from quorate.cluster.raft.transport.streams import INTRODUCTIONS, RAFT, REFUSALS
from tests.support.waiting import until
from tests.unit.raft.raw_peer import Node, RawPeer, Run, encode, pair

OTHER = b"the key of that cluster"


def refused(node: Node, peer: str) -> str:
    return node.transport.status()[peer].refused


def lines(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


def test_a_wrong_key_is_told_on_both_sides(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2", key=OTHER) as two:
            one.dial(two)
            two.dial(one)
            await until("they tried", lambda: one.transport.refusals >= 5 and two.transport.refusals >= 5)
            assert (OTHER_KEY, OTHER_KEY) == (refused(one, "n2"), refused(two, "n1"))
            assert ([], []) == (one.up, two.up)
            assert [1, 1] == [len(lines(caplog, f"refused {id} at ")) for id in ("n1", "n2")]
            assert [] == lines(caplog, "the other end closed it")

    run(main())


def test_each_member_has_a_line_of_its_own_though_all_have_one_address(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2", key=OTHER) as two, Node("n3", key=OTHER) as three:
            one.dial(two, three)
            two.dial(one)
            three.dial(one)
            await until("both are told", lambda: lines(caplog, "refused n2 at ") and lines(caplog, "refused n3 at "))

    run(main())


def test_a_key_on_one_side_only_is_told_on_both(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2", key=None) as two:
            one.dial(two)
            two.dial(one)
            words = "only one of the two has a raft.key: give every node the same one"
            await until("both know", lambda: (words, words) == (refused(one, "n2"), refused(two, "n1")))

    run(main())


def test_a_peer_of_0_1_0_that_hangs_up_because_of_the_key_is_told(run: Run) -> None:
    """It closes the connection at once, and its own introduction may be lost with that. A peer that just stops does so
    once, which has nothing to do with keys."""

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as address:
            one.dial(address)
            async with await RawPeer.connect(one) as raw_peer:
                await raw_peer.greet()
            await until("it was seen", lambda: one.transport.refusals)
            assert "" == refused(one, "n2")
            async with await RawPeer.connect(one) as raw_peer:
                await raw_peer.greet()
            await until("it is told", lambda: refused(one, "n2") == ENDED_EARLY)

    run(main())


def test_a_peer_that_refuses_this_node_is_told_with_its_reason(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2", cluster_name="other") as two:
            one.dial(two)
            two.dial(one)
            await until("both know", lambda: refused(one, "n2") and refused(two, "n1"))
            assert one.transport.refusals or two.transport.refusals
            for node, peer in ((one, "n2"), (two, "n1")):
                assert "it belongs to cluster" in refused(node, peer)
            assert [] == lines(caplog, "the other end closed it")

    run(main())


UNREADABLE = "n2 sent what n1 cannot read (Expected `int`, got `str`"


def test_what_cannot_be_read_is_told_on_both_sides(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """As a message of another version would be: a number where a text is due is nothing that a person can use."""

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as address:
            one.dial(address)
            for _ in range(3):
                async with await RawPeer.connect(one) as peer:
                    await peer.come_in()
                    await until("it is in", lambda: one.transport.is_open("n2"))
                    peer.say(RAFT, encode([1, "term 3", 1, 1, 1, []]))
                    while (said := await peer.hear())[0] != REFUSALS:
                        pass
                    assert said[1].decode().startswith(UNREADABLE)
                    assert "run the same version of Quorate on both" in said[1].decode()
                    assert await peer.is_hung_up_on()
                assert refused(one, "n2").startswith(UNREADABLE)
            assert 1 == len(lines(caplog, f"refused n2 at 127.0.0.1: {UNREADABLE}"))

    run(main())


def test_an_introduction_that_cannot_be_read_is_told_on_both_sides(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as address, await RawPeer.connect(one) as peer:
            one.dial(address)
            await peer.greet()
            peer.say(INTRODUCTIONS, encode(["n2", 2, "test", None, None, [], ""]))
            while (said := await peer.hear())[0] != REFUSALS:
                pass
            assert said[1].startswith(b"n2 sent what n1 cannot read (Expected `str`, got `int`")
            assert refused(one, "n2").startswith("n2 sent what n1 cannot read")
            assert lines(caplog, "refused n2 at 127.0.0.1: n2 sent what n1 cannot read")

    run(main())


def test_what_is_no_greeting_is_told_as_that(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as peer:
            peer.write(encode(["one", "n2", True, b""]))
            assert await peer.is_hung_up_on()
            assert lines(caplog, "its first bytes are no greeting that this version of Quorate knows (Expected `int`")

    run(main())


def test_a_stranger_who_claims_to_be_a_connected_member_changes_nothing(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            await pair(one, two)
            async with await RawPeer.connect(one) as stranger:
                await stranger.greet("n2", key=OTHER)
                stranger.introduce()
                await until("it is refused", lambda: one.transport.refusals)
            assert "" == refused(one, "n2")
            assert one.transport.is_open("n2")

    run(main())


def test_strangers_make_no_reasons_and_few_lines(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one:
            for n in range(20):
                async with await RawPeer.connect(one) as stranger:
                    await stranger.greet(f"x{n}", protocol=99)
            await until("all are refused", lambda: one.transport.refusals == 20)
            assert {} == one.transport.status()
            assert 1 == len([record for record in caplog.records if record.levelno >= logging.WARNING])

    run(main())


def test_a_dialled_peer_that_says_nothing_is_named_and_not_taken_for_a_stranger(
    run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused process: its kernel accepts connections, and it does not answer."""
    monkeypatch.setattr(connection, "HANDSHAKE_S", 0.2)

    async def main() -> None:
        async with Node("n1") as one:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            one.transport.set_members({"n0": [address]})
            words = f"cannot reach n0 at {address} (it did not introduce itself in time); trying on"
            await until("it is told", lambda: one.transport.refusals >= 3)
            assert [words] == lines(caplog, "n0")
            assert [] == lines(caplog, "stranger")

    with socket.create_server(("127.0.0.1", 0)) as silent:
        run(main())


def test_a_node_that_was_paused_blames_nobody_for_what_happened_meanwhile(
    run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its peers dialled, waited and hung up. That looks as if they had another key."""
    monkeypatch.setattr(transport, "ASLEEP_S", 0.7)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as address:
            one.dial(address)
            hello = encode(Hello(PROTOCOL, "n2", True, os.urandom(NONCE_BYTES)))
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", one.port)) as peer:
                    peer.sendall(struct.pack(">I", len(hello)) + hello)
            threading.Event().wait(0.9)  # the whole loop stands still
            await until("the connections were seen", lambda: one.transport.refusals == 3)
            assert "" == refused(one, "n2")
            assert [] == lines(caplog, "raft.key")

    run(main())


def test_a_reason_is_forgotten_when_the_peer_comes_in_and_after_a_while() -> None:
    reasons = LinkReasons()
    reasons.note("n2", "another key", 100.0)
    assert ["another key", ""] == [reasons.why("n2", 100.0 + FRESH_S / 2), reasons.why("n2", 100.0 + FRESH_S)]
    reasons.forget("n2")
    assert "" == reasons.why("n2", 100.0)
