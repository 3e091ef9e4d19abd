"""Connections over real sockets between nodes of one cluster."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.raft import messages
from quorate.cluster.raft.transport import connection, link_log, transport
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.streams import PART_BYTES, RAFT
from quorate.errors import OutcomeUnknown
from tests.support.waiting import let_pass, until
from tests.unit.raft.raw_peer import KEY, Node, RawPeer, Run, Tap, pair

HEARTBEAT = messages.Append(3, 2, 1, 1, [])
MORE = 0x80


@pytest.mark.parametrize("key", [KEY, None], ids=["keyed", "keyless"])
def test_two_nodes_connect_and_send_both_ways(run: Run, key: bytes | None) -> None:
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


def test_a_broken_connection_is_dialled_again(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two, Tap(one) as tap:
            one.dial(two)
            two.transport.set_members({"n1": [f"127.0.0.1:{tap.port}"]})
            await until("a first connection", lambda: one.up and two.up)
            tap.cut()
            await until("a second connection", lambda: len(one.up) == len(two.up) == 2)
            assert (["n2"], ["n1"]) == (one.down, two.down)

    run(main())


def test_a_peer_that_takes_its_time_is_dialled_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake may take longer than the pause between two dials. The next dial must not interrupt it."""
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
            two.transport.set_members({"n1": [f"127.0.0.1:{server.sockets[0].getsockname()[1]}"]})
            await until("it is dialled", lambda: came == 1)
            await asyncio.sleep(0.7)
            assert 1 == came
            await until("it is dialled again once it is given up", lambda: came == 2)

    run(main())


def test_a_newer_connection_replaces_the_old_one(run: Run) -> None:
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


def test_a_refused_peer_is_told_why(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            await pair(one, two)
            two.dial()  # it does not dial again
            one.transport.refuse("n2", "n2 was removed")
            await until("it was told", lambda: two.refusals)
            assert [("n1", "n2 was removed")] == two.refusals
            await until("the connection is gone", lambda: not one.transport.is_open("n2"))
            assert not one.transport.send("n2", HEARTBEAT)

    run(main())


def test_nodes_of_two_clusters_refuse_each_other_and_the_word_of_neither_counts_for_the_other(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2", cluster_name="other") as two:
            one.dial(two)
            two.dial(one)

            def told() -> list[str]:
                return [one.transport.status()["n2"].refused, two.transport.status()["n1"].refused]

            await until("both were told", lambda: all("it belongs to cluster" in why for why in told()))
            assert not one.transport.is_open("n2")
            assert not two.transport.is_open("n1")
            assert [] == one.refusals + two.refusals

    run(main())


class Gate(Node):
    """It refuses every peer until it is opened, as a cluster does before `members add`."""

    lets_in = False

    def opened(self, peer: str, introduction: Introduction, replaces: Introduction | None = None) -> str | None:
        return super().opened(peer, introduction, replaces) if self.lets_in else "no member of this cluster yet"


def test_a_node_that_waits_to_be_added_has_one_line_a_change(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """It dials on, and each time it is let in and sent away again at once."""
    caplog.set_level("INFO")

    def lines() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name == link_log.__name__]

    async def main() -> None:
        gate = Gate("n1")
        async with gate as one, Node("n2") as two:
            two.dial(one)
            await until("it was sent away five times", lambda: len(two.refusals) >= 5)
            assert {
                "refused n2 at 127.0.0.1: no member of this cluster yet",
                "n1 refuses this node: no member of this cluster yet; trying on",
            } == set(lines())
            assert 2 == len(lines())
            gate.lets_in = True
            await until("the link is told", lambda: len(lines()) == 4)
            assert ["link to n1 made", "link to n2 made"] == sorted(lines()[2:])

    run(main())


def test_a_refused_peer_that_reads_nothing_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason waits behind bytes that the peer does not read. The connection must not wait for it."""
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
            await until("the connection is gone", lambda: not one.transport.is_open("n2"), deadline_s=2)

    run(main())


def test_a_silent_peer_is_cut_off_and_an_idle_one_is_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PING_S", 0.02)
    monkeypatch.setattr(transport, "SILENCE_S", 0.3)
    monkeypatch.setattr(transport, "ASLEEP_S", 0.1)

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


def test_no_peer_is_silent_while_this_node_stands_still(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PING_S", 0.02)
    monkeypatch.setattr(transport, "SILENCE_S", 0.3)
    monkeypatch.setattr(transport, "ASLEEP_S", 0.1)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            await pair(one, two)
            let_pass(0.5, because="the loop stands still for longer than a peer may be silent")
            nodes = (one.transport, two.transport)
            await until("they hear each other", lambda: all(each.heard_within(0.1) for each in nodes))
            assert [] == one.down == two.down

    run(main())


def test_a_big_message_travels_in_parts_and_small_ones_overtake_it(run: Run) -> None:
    """8 MiB is the biggest entry. Its parts show that the sender is alive, long before the message is whole."""
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


def test_the_backlog_counts_all_bytes_that_wait_for_a_slow_peer(run: Run) -> None:
    """The engine stops sending entries by it (`WINDOW_BYTES`), so it must count every byte that has not left."""

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
