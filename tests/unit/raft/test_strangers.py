"""A node that has the key (or is on the same host, where none is needed) and is no member: it takes part in nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.cluster import entry
from quorate.cluster.raft import messages
from quorate.cluster.raft.members import REMOVED
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.transport.handshake.credentials import shared_key
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.inquiry import ask_who_is_at
from quorate.cluster.raft.transport.streams import CALLS, INTRODUCTIONS, RAFT, REFUSALS
from tests.support.waiting import until
from tests.unit.raft.alone import alone, running
from tests.unit.raft.raw_peer import KEY, RawPeer, Run, encode

KEYS = pytest.mark.parametrize("key", [KEY, None], ids=["with the key", "without keys"])
LATER = 10**6  # an index of the log that n1 does not have yet
FROM_N9: list[tuple[int, bytes]] = [
    (RAFT, messages.encode(messages.Append(50, 0, 1, 0, [(50, b"\x00of a stranger")]))),
    (RAFT, messages.encode(messages.RequestBallot(60, 2**40, 59, pre=False, transfer=True))),
    (CALLS, encode([1, 1, "transfer", b""])),
    (CALLS, encode([1, 2, "list-members", b""])),
]


def claims(replica: RaftReplica, how: str) -> Introduction:
    """What n9 says of itself: as much as it could have heard of the cluster."""
    own = replica.introduction()
    said = Introduction("n9", "of n9", "test", own.cluster_id, own.members, [], "", level=entry.FEATURE_LEVEL)
    match how:
        case "a member":
            said.member_at = LATER
        case "a member of 0.1.0":
            said.member_at, said.level = LATER, 0
        case "with the proof of another":
            said.member_at, said.proof = LATER, own.proof
    return said


@KEYS
@pytest.mark.parametrize("how", ["nothing", "a member", "a member of 0.1.0", "with the proof of another"])
def test_who_is_no_member_is_refused_and_takes_part_in_nothing(
    tmp_path: Path, run: Run, key: bytes | None, how: str
) -> None:
    async def main() -> None:
        async with alone(tmp_path, key) as (replica, port), await RawPeer.connect(port) as n9:
            term = replica.term
            await n9.greet("n9", key=key)
            n9.say(INTRODUCTIONS, encode(claims(replica, how)))
            n9.say_all(FROM_N9)
            heard = await n9.heard()
            assert await n9.is_hung_up_on()
            assert {INTRODUCTIONS, REFUSALS} == {stream for stream, _ in heard}, "and no answer to a call"
            assert "n9 is no member of this cluster yet" in heard[-1][1].decode()
            assert (True, term) == (replica.is_leader, replica.term)
            assert b"of a stranger" not in b"".join(command for command, _, _ in running(replica).engine.journal[:])
            assert not replica.transport.is_open("n9")

    run(main())


@KEYS
@pytest.mark.parametrize("how", ["nothing", "a member", "with the proof of another"])
def test_who_is_no_member_stops_nobody_by_saying_that_it_was_removed(
    tmp_path: Path, run: Run, key: bytes | None, how: str
) -> None:
    """Refused itself, it may still say why it refuses the other end: with these words a member says goodbye."""

    async def main() -> None:
        async with alone(tmp_path, key) as (replica, port), await RawPeer.connect(port) as n9:
            await n9.greet("n9", key=key)
            n9.say(INTRODUCTIONS, encode(claims(replica, how)))
            n9.say(REFUSALS, f"n1 was {REMOVED}".encode())
            assert REFUSALS == (await n9.heard())[-1][0]
            n9.writer.write_eof()
            assert await n9.is_hung_up_on()

    run(main())


def test_who_is_no_member_has_no_history_and_is_not_kept_in_mind(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Any number of them, each with a log of its own and a name of its own, would fill memory, /status and the log."""

    async def main() -> None:
        async with alone(tmp_path, KEY) as (replica, port):
            await until("it has entries", lambda: running(replica).engine.commit_index > 2)
            for number in range(20):
                async with await RawPeer.connect(port) as stranger:
                    said = claims(replica, "a member")
                    said.node_id, said.member_at, said.committed, said.chain = f"x{number}", 1, 2, bytes(16)
                    await stranger.greet(said.node_id)
                    stranger.say(INTRODUCTIONS, encode(said))
                    assert REFUSALS == (await stranger.heard())[-1][0]
            histories = running(replica).histories
            assert ({}, {}) == (replica.status().other_histories, histories._others)
            kept = [each for each in vars(histories).values() if isinstance(each, dict)]
            assert not any(kept), kept

    run(main())
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


@KEYS
def test_anybody_with_the_key_may_ask_who_is_there(tmp_path: Path, run: Run, key: bytes | None) -> None:
    async def main() -> None:
        async with alone(tmp_path, key) as (_, port):
            assert "n1" == (await ask_who_is_at(f"127.0.0.1:{port}", "n1", "n9", shared_key(key))).node_id

    run(main())


@KEYS
def test_a_learner_that_was_added_comes_in_with_an_empty_disk(tmp_path: Path, run: Run, key: bytes | None) -> None:
    async def main() -> None:
        async with alone(tmp_path, key) as (replica, port):
            await replica.change_members(lambda members: members.adding("n9", "127.0.0.1:9"))
            async with await RawPeer.connect(port) as n9:
                await n9.come_in("n9", key=key, level=entry.FEATURE_LEVEL)
                await until("it is in", lambda: replica.transport.is_open("n9"))

    run(main())


@KEYS
def test_a_member_that_joined_while_this_node_was_away_comes_in(tmp_path: Path, run: Run, key: bytes | None) -> None:
    """This node's log does not name it, and it may be the leader: it shows that it has had the log."""

    async def main() -> None:
        async with alone(tmp_path, key) as (replica, port), await RawPeer.connect(port) as n4:
            said = claims(replica, "a member")
            said.node_id = "n4"
            past = running(replica).introductions._past
            said.proof = past._proof(said.cluster_id or "", "n4", said.incarnation)
            await n4.greet("n4", key=key)
            n4.say(INTRODUCTIONS, encode(said))
            await until("it is in", lambda: replica.transport.is_open("n4"))

    run(main())
