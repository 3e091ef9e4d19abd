"""Links on real sockets: peers that belong together meet; what a hostile one does changes nothing and ends soon."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.raft import messages
from quorate.cluster.raft.transport import connection, transport
from quorate.cluster.raft.transport.connection import PART_BYTES, RAFT
from quorate.errors import OutcomeUnknown
from tests.unit.raft.raw_peer import KEY, Node, RawPeer, Run, Tap, pair, until

HEARTBEAT = messages.Append(3, 2, 1, 1, [])
MORE = 0x80


@pytest.mark.parametrize("key", [KEY, None], ids=["keyed", "keyless"])
def test_two_nodes_meet_and_speak_both_ways(run: Run, key: bytes | None) -> None:
    async def main() -> None:
        async with Node("n1", key=key) as one, Node("n2", key=key) as two:
            await pair(one, two)
            assert one.transport.send("n2", HEARTBEAT)
            assert two.transport.send("n1", messages.Ballot(4, pre=True))
            await until("both heard", lambda: one.heard and two.heard)
            assert [("n2", messages.Ballot(4, pre=True))] == one.heard
            assert [("n1", HEARTBEAT)] == two.heard
            assert (["n2"], ["n1"]) == (one.up, two.up)

    run(main())


def test_a_broken_link_is_dialled_again(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two, Tap(one) as tap:
            one.dial(two)
            two.transport.set_members({"n1": f"127.0.0.1:{tap.port}"})
            await until("a first link", lambda: one.up and two.up)
            tap.cut()
            await until("a second link", lambda: len(one.up) == len(two.up) == 2)
            assert (["n2"], ["n1"]) == (one.down, two.down)

    run(main())


def test_a_peer_that_takes_its_time_is_dialled_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a long cable a handshake takes longer than the pause between two tries: the next would cut it short."""
    monkeypatch.setattr(connection, "HANDSHAKE_S", 1.0)

    async def main() -> None:
        came = 0

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal came
            came += 1
            await reader.read()
            writer.close()

        server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        async with server, Node("n2") as two:
            two.transport.set_members({"n1": f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
            await until("it is dialled", lambda: came == 1)
            await asyncio.sleep(0.7)
            assert 1 == came
            await until("it is dialled again once it is given up", lambda: came == 2)

    run(main())


def test_a_newer_connection_takes_the_place_of_the_old_one(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as first, await RawPeer.connect(one) as second:
            await first.come_in()
            await until("the first is in", lambda: one.up == ["n2"])
            answer = asyncio.create_task(one.transport.call("n2", "work", b""))
            await asyncio.sleep(0)
            await second.come_in()
            await until("the second is in", lambda: one.up == ["n2", "n2"])
            assert ["n2"] == one.down
            assert await first.is_hung_up_on()
            assert 0 == one.transport.refusals
            with pytest.raises(OutcomeUnknown):
                await answer
            second.say(RAFT, messages.encode(HEARTBEAT))
            await until("the second is heard", lambda: one.heard)

    run(main())


def test_who_is_not_wanted_any_more_is_told_why(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            await pair(one, two)
            two.dial()  # it does not dial again
            one.transport.refuse("n2", "n2 was removed")
            await until("it was told", lambda: two.refusals)
            assert [("n1", "n2 was removed")] == two.refusals
            await until("the link is gone", lambda: not one.transport.is_open("n2"))
            assert not one.transport.send("n2", HEARTBEAT)

    run(main())


def test_who_is_not_wanted_and_takes_nothing_is_cut(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason would wait behind what it does not take, and the link with it."""
    monkeypatch.setattr(connection, "HANDSHAKE_S", 0.2)

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as hung:
            await hung.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            hung.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio gives every stream's one this
            for _ in range(20):
                one.transport.send("n2", messages.Append(3, 2, 1, 1, [(3, bytes(1024 * 1024))]))
                await asyncio.sleep(0)
            one.transport.refuse("n2", "n2 was removed")
            await until("the link is gone", lambda: not one.transport.is_open("n2"), within_s=2)

    run(main())


def test_a_silent_peer_is_cut_and_a_quiet_one_is_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PING_S", 0.02)
    monkeypatch.setattr(transport, "SILENCE_S", 0.3)

    async def main() -> None:
        async with Node("n1") as one, Node("n3") as quiet, await RawPeer.connect(one) as silent:
            await pair(one, quiet)
            await silent.come_in()
            await until("both are in", lambda: len(one.up) == 2)
            await until("the silent one is cut", lambda: one.down)
            assert ["n2"] == one.down
            assert [] == quiet.down
            assert one.transport.is_open("n3")

    run(main())


def test_a_big_message_travels_in_parts_and_small_ones_overtake_it(run: Run) -> None:
    """8 MiB: the biggest entry. It shows that its sender is alive long before it is whole."""
    entry = bytes(range(256)) * (8 * 4096)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            overtaking = []

            async def serve(peer: str, body: bytes) -> bytes:
                overtaking.append(len(one.heard))
                return body

            one.transport.serve("ask", serve)
            await pair(one, two)
            assert two.transport.send("n1", messages.Append(3, 2, 1, 1, [(3, entry)]))
            assert b"now" == await two.transport.call("n1", "ask", b"now")
            assert [0] == overtaking, "the call waited for the whole entry"
            await until("the entry is there", lambda: one.heard)
            assert [("n2", messages.Append(3, 2, 1, 1, [(3, entry)]))] == one.heard
            assert one.progressed >= len(entry) // PART_BYTES

    run(main())


def test_what_waits_for_a_slow_peer_is_seen_in_the_backlog(run: Run) -> None:
    """The engine stops sending entries by it (`WINDOW_BYTES`), so that it must count all that has not left."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as slow:
            await slow.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio gives every stream's one this
            sent = 0
            for _ in range(20):
                one.transport.send("n2", messages.Append(3, 2, 1, 1, [(3, bytes(1024 * 1024))]))
                sent += 1024 * 1024
                await asyncio.sleep(0)
            assert one.transport.backlog("n2") > sent - 8 * 1024 * 1024, (
                "the sockets' own buffers hold no more than that"
            )

    run(main())
