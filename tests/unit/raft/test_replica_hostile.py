"""A real replica, and a peer with the key that sends nonsense: its connection may end, and the replica goes on."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import msgspec
import pytest

from quorate.cluster.entry import FEATURE_LEVEL
from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.environment import ReplicaSettings
from quorate.cluster.raft.membership.address_changes import TRIED_MAX
from quorate.cluster.raft.membership.peer_memory import KNOWN_MAX
from quorate.cluster.raft.messages import TERMS_AHEAD_MAX
from quorate.cluster.raft.remembered import Remembered
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.raft.transport.handshake.credentials import shared_key
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.streams import CALLS, INTRODUCTIONS, RAFT
from tests.simulation.test_nonsense import any_message, numbers
from tests.support.waiting import until
from tests.unit.raft.alone import alone, running
from tests.unit.raft.raw_peer import KEY, RawPeer, Run, encode
from tests.unit.raft.test_transport_hostile import INSIDE

SENSELESS: list[messages.Message] = [
    messages.Append(1, 10**9, 10**9, 1, []),
    messages.Append(1, 10**9, 1, 0, []),
    messages.Append(0, 5, 1, 0, [(0, b"\x00old")]),
    messages.Appended(1, 10**9, success=True, reset=False, round=10**9),
    messages.Appended(0, 0, success=False, reset=True),
    messages.RequestBallot(1, 0, 0, pre=True, transfer=True),
    messages.Ballot(1, pre=True),
    messages.Ballot(1, pre=False),
    messages.TimeoutNow(1),
    messages.SnapshotAck(1, "0f" * 16, 10**9),
    messages.SnapshotChunk(1, 9, 1, bytes(16), b"", 0, "0f" * 16, 0, b""),
    messages.SnapshotChunk(1, 9, 1, bytes(16), b"\xc1", 10, "0e" * 16, 0, b"ten bytes!"),
    messages.SnapshotChunk(1, 9, 1, bytes(16), b"", 10, "0d" * 16, 2**61, b"far out"),
    messages.SnapshotChunk(1, 9, 1, bytes(16), b"", 3, "0c" * 16, 0, b"more than it says"),
]


def test_no_message_of_a_member_stops_a_leader(tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """The numbers of `tests/simulation/test_nonsense.py`, and snapshots and introductions, over a real connection."""
    rng = random.Random(3)

    async def main() -> None:
        async with alone(tmp_path, KEY) as (replica, port):
            await replica.change_members(lambda members: members.adding("n2", "127.0.0.1:9"))
            term, version = replica.term, replica.state.version
            for wild in (-1, 2**63):
                async with await RawPeer.connect(port) as member:
                    await member.come_in(level=FEATURE_LEVEL)
                    await until("it is in", lambda: replica.transport.is_open("n2"))
                    for _ in range(300):
                        message = in_term(any_message(rng, numbers(rng, [term, 9])), term)
                        if not isinstance(message, messages.Appended):  # or it would be made a voter
                            member.say(RAFT, messages.encode(message))
                    member.introduce(level=FEATURE_LEVEL, member_at=wild)
                    await until("it is out", lambda: not replica.transport.is_open("n2"))
            assert (True, term, version) == (replica.is_leader, replica.term, replica.state.version)
            assert "n2 sent what makes no sense" in caplog.text

    run(main())
    assert [] == [record for record in caplog.records if record.exc_info], "nothing failed inside"


def test_what_a_member_remembers_of_others_is_bounded_and_wild_terms_are_passed_over(tmp_path: Path, run: Run) -> None:
    """It may tell of any number of disks, again and again, and of terms that no cluster reaches."""

    async def main() -> None:
        async with alone(tmp_path, KEY) as (replica, port):
            await replica.change_members(lambda members: members.adding("n2", "127.0.0.1:9"))
            async with await RawPeer.connect(port) as member:
                await member.come_in(level=FEATURE_LEVEL)
                await until("it is in", lambda: replica.transport.is_open("n2"))
                own = replica.introduction()
                wild = replica.term + TERMS_AHEAD_MAX + 1
                ours = Remembered("n1", own.incarnation, entry_term=wild, entry_index=2**62, term=wild, ballot="n2")
                for number in range(10):
                    others = [Remembered(f"x{number}", f"{disk}", 1, 1) for disk in range(1_000)]
                    said = Introduction("n2", "of n2", "test", own.cluster_id, None, [], "", level=FEATURE_LEVEL)
                    said.remembered = [ours, *others]
                    member.say(INTRODUCTIONS, encode(said))
                member.say(RAFT, messages.encode(messages.Appended(0, 0, success=False, reset=False)))
                await member.until_heard()
            assert len(running(replica).memory._known) <= KNOWN_MAX
            assert (None, own.incarnation) == (replica.status().forgotten, replica.introduction().incarnation)

    run(main())


def test_a_member_that_changes_its_history_all_the_time_writes_few_lines(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with alone(tmp_path, KEY) as (replica, _):
            await replica.change_members(lambda members: members.adding("n2", "127.0.0.1:9"))
            own = replica.introduction()
            said = Introduction("n2", "of n2", "test", own.cluster_id, None, [], "", level=FEATURE_LEVEL)
            said.committed = own.committed
            for _ in range(100):
                for said.chain in (own.chain, bytes(16)):
                    refusal = replica.opened("n2", said)
                assert refusal is not None
                assert "another history" in refusal
            assert 1 <= len([record for record in caplog.records if record.levelname == "ERROR"]) < 20

    run(main())


def test_a_reason_is_short_whatever_it_is_about(tmp_path: Path, run: Run) -> None:
    """It is sent, written into logs, and shown in /readyz."""

    async def main() -> None:
        async with alone(tmp_path, KEY) as (replica, port):
            await replica.change_members(lambda members: members.adding("n2", "127.0.0.1:9"))
            async with await RawPeer.connect(port) as member:
                await member.greet("n2")
                member.introduce(cluster_name="c" * 50_000, level=FEATURE_LEVEL)
                why = (await member.heard())[-1][1]
            assert b"it belongs to cluster 'ccc" in why
            assert len(why) <= 1_000

    run(main())


def test_a_member_has_this_node_dial_a_few_addresses_at_a_time(tmp_path: Path, run: Run) -> None:
    """Each dial takes a descriptor, also one that the node needs for its log."""
    dialled: list[asyncio.StreamWriter] = []

    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: dialled.append(writer), "127.0.0.1", 0)
        there = f"127.0.0.1:{server.sockets[0].getsockname()[1]}".encode()
        async with server, alone(tmp_path, KEY) as (replica, port):
            await replica.change_members(lambda members: members.adding("n2", "127.0.0.1:9"))
            async with await RawPeer.connect(port) as member:
                await member.come_in(level=FEATURE_LEVEL)
                await until("it is in", lambda: replica.transport.is_open("n2"))
                for number in range(200):
                    member.say(CALLS, encode([1, number, "address", there]))
                await member.until_heard()
                await until("it has dialled", lambda: dialled)
                assert len(dialled) <= TRIED_MAX
        for writer in dialled:
            writer.transport.abort()

    run(main())


def in_term(message: messages.Message, term: int) -> messages.Message:
    """A later term that is possible ends a leadership, so the message gets none."""
    possible = term < message.term <= term + TERMS_AHEAD_MAX
    return msgspec.structs.replace(message, term=term) if possible else message


def test_no_message_of_a_peer_stops_the_replica(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    halted: list[BaseException] = []

    async def main() -> None:
        settings = ReplicaSettings(
            node_id="n1",
            cluster_name="test",
            listen=[("127.0.0.1", 0)],
            peers={"n1": "127.0.0.1:1", "n2": "127.0.0.1:1", "n3": "127.0.0.1:1"},
            http="",
            credentials=shared_key(KEY),
            bootstrap=True,
            timing=ElectionTiming(0.2),
            dedup_window=1000,
            snapshot_bytes=1_000_000,
        )
        replica = RaftReplica(settings, DataDirectory.open(tmp_path, node_id="n1"), on_halt=halted.append)
        await replica.start()
        port = int(replica.transport.listening[0].rpartition(":")[2])
        try:
            for stream, said in INSIDE.values():
                async with await RawPeer.connect(port) as insider:
                    await insider.come_in()
                    await until("it is in", lambda: replica.transport.is_open("n2"))
                    insider.say(stream, said)
                    assert await insider.is_hung_up_on(within_s=5)
                    await until("it is out", lambda: not replica.transport.is_open("n2"))
            async with await RawPeer.connect(port) as insider:
                await insider.come_in()
                await until("it is in", lambda: replica.transport.is_open("n2"))
                for message in SENSELESS:
                    insider.say(RAFT, messages.encode(message))
                insider.say(RAFT, messages.encode(messages.Append(7, 0, 1, 0, [])))
                await until("it was heard to the end", lambda: replica.term == 7)
                assert replica.transport.is_open("n2")
            assert [] == halted
            assert (1, 0) == (replica.status().last_index, replica.status().snapshots_received)
        finally:
            await replica.stop()

    asyncio.run(asyncio.wait_for(main(), 60))
    assert [] == [record for record in caplog.records if record.exc_info], "nothing failed inside"
