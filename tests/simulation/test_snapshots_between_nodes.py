"""Snapshot transfer with another failure: a full disk, a listener that reads the state, a damaged piece."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft import messages
from quorate.cluster.raft.snapshot import transfer
from quorate.errors import DataError
from tests.stock.our_net import OurNet

SMALL: dict[str, Any] = {"snapshot_bytes": 2_000, "keep_bytes": 300}


def absent(net: OurNet) -> tuple[str, str]:
    """A leader, and a follower that was away for so long that only a snapshot helps."""
    net.start_all("abc")
    leader = net.elect()
    follower, third = net.others(leader)
    net.partition([follower], [leader, third])
    net.propose_all(leader, "x", 60, each_s=0.05)
    net.run(1)
    assert net.journal(leader).first_index > net.last_index(follower)
    return leader, follower


def test_listeners_of_an_installed_snapshot_find_state_and_log_in_step() -> None:
    with OurNet(1, **SMALL) as net:
        leader, follower = absent(net)
        replica = net.replicas[follower]
        seen: list[tuple[int, int, str]] = []
        failed: list[Exception] = []

        def look(applied: Any) -> None:
            try:
                index = replica.log_point().index
                seen.append((index, replica.status().commit_index, replica.state.digest()))
            except Exception as error:
                failed.append(error)

        replica.on_applied(look)
        net.heal()
        assert net.until(lambda: net.tags(follower) == net.tags(leader), limit_s=5)
        assert 1 == replica.status().snapshots_received
        assert [] == failed
        assert seen, "it was told"
        assert net.replicas[leader].state.digest() == seen[-1][2]
        assert all(applied <= committed for applied, committed, _ in seen)


def test_a_disk_too_full_for_a_snapshot_stops_only_its_node() -> None:
    with OurNet(1, **SMALL) as net:
        leader, follower = absent(net)
        net.directories[follower].files.room_bytes = 100
        net.heal()
        net.run(3)
        assert {follower} == set(net.halted)
        assert "No space left" in str(net.halted[follower])
        assert leader == net.leader()
        net.crash(follower)
        net.halted.clear()
        net.directories[follower].files.room_bytes = None
        net.start(follower)
        assert net.until(lambda: net.tags(follower) == net.tags(leader), limit_s=5), "with room it goes on"
        assert {} == net.halted


@pytest.mark.parametrize("what", ["a byte is changed", "a piece of another one", "of a size that is not its own"])
def test_pieces_of_a_broken_snapshot_change_nothing_and_are_sent_again(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot of a peer is believed only if the whole of it has the checksum that is its id."""
    monkeypatch.setattr(transfer, "PIECE_BYTES", 512)
    with OurNet(1, **SMALL) as net:
        leader, follower = absent(net)
        before = net.tags(follower)
        harmed: list[messages.SnapshotChunk] = []

        def hook(source: str, target: str, message: Any) -> None:
            if not isinstance(message, messages.SnapshotChunk) or target != follower or len(harmed) == 3:
                return
            harmed.append(message)
            data, size = bytearray(message.data), message.size
            if what == "a byte is changed":
                data[len(data) // 2] ^= 1
            elif what == "a piece of another one":
                data[:] = bytes(len(data))
            else:
                size -= 1
            said = messages.SnapshotChunk(
                message.term,
                message.index,
                message.index_term,
                message.chain,
                message.members,
                size,
                message.id,
                message.offset,
                bytes(data),
            )
            net.loop.call_soon(net.replicas[follower].received, leader, said)

        net.listen(hook)
        net.heal()
        net.run(0.05)
        assert harmed
        assert net.tags(follower) in (before, net.tags(leader))
        assert net.until(lambda: net.tags(follower) == net.tags(leader), limit_s=20)
        assert net.replicas[follower].state.digest() == net.replicas[leader].state.digest()
        assert {} == net.halted


def test_a_snapshot_that_the_state_machine_refuses_replaces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example one of a newer version: a node of the old version must still start on its own data."""
    restore = StateMachine.restore
    too_new = 1 << 30

    def as_the_old_version(data: bytes) -> StateMachine:
        if len(data) > too_new:
            raise DataError("it is of a newer version")
        return restore(data)

    monkeypatch.setattr(StateMachine, "restore", as_the_old_version)
    with OurNet(1, **SMALL) as net:
        leader, follower = absent(net)
        too_new = len(net.replicas[leader].state.freeze().encode()) // 2
        before = net.tags(follower)
        net.heal()
        net.run(5)
        assert (before, {}) == (net.tags(follower), net.halted)
        net.crash(follower)
        net.start(follower)
        assert before == [tag for tag in net.tags(follower) if tag in before]
        too_new = 1 << 30
        assert net.until(lambda: net.tags(follower) == net.tags(leader), limit_s=30)


def test_a_former_leader_sends_no_piece_that_its_disk_read_too_late() -> None:
    """The piece would carry the term of the next leader. That leader would see two leaders in one term, and stop."""
    with OurNet(1, **SMALL) as net:
        leader, follower = absent(net)
        third = net.others(leader, follower)[0]
        net.disks[leader]["quorate-snapshots"].hold()
        net.heal()
        net.run(0.3)
        net.hand_over(leader, third)
        assert net.until(lambda: net.leads(third) and net.term(leader) == net.term(third))
        sent: list[str] = []
        net.listen(lambda source, target, message: sent.append(source) if net.kind(message) == "snapshot" else None)
        net.disks[leader]["quorate-snapshots"].release()
        assert net.until(lambda: net.tags(follower) == net.tags(third), limit_s=20)
        assert {third} == set(sent)
        assert {} == net.halted


def test_a_large_entry_that_the_log_keeps_does_not_make_a_snapshot_due_after_each_entry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log keeps the newest entries whole. One that is larger than what makes a snapshot due stays for a while."""
    caplog.set_level(logging.INFO, "quorate.cluster.raft.snapshot.compaction")
    with OurNet(1, snapshot_bytes=20_000, keep_bytes=3_000) as net:
        net.start_all("abc")
        leader = net.elect()
        net.propose_all(leader, "large", 1, pad_bytes=50_000)
        net.run(1)
        net.propose_all(leader, "x", 1)
        net.run(1)
        caplog.clear()
        net.propose_all(leader, "x", 8, each_s=0.05)
        net.run(1)
        assert [] == [message for message in caplog.messages if message.startswith("snapshot up to index")]
        net.propose_all(leader, "x", 200, each_s=0.05)
        net.run(1)
        assert net.journal(leader).first_index > 1, "when enough is written, snapshots are taken as before"
        assert net.journal(leader).bytes_in_memory < 50_000, "and the large entry is gone"
