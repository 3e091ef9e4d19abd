"""A snapshot on a slow link: while it is on its way, many newer ones are taken, and it arrives all the same."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine import replication
from quorate.cluster.raft.snapshot import transfer
from quorate.cluster.raft.storage.snapshot_store import SnapshotStore
from tests.simulation.files import SimFiles
from tests.simulation.test_wedges import SMALL, load
from tests.stock.net import Hook
from tests.stock.our_net import OurNet

PIECE_BYTES = 512
EACH_S = 0.05  # a vote comes; some 100 bytes, so some 2,000 bytes a second


def slow_link(net: OurNet, to: str, bytes_a_second: float) -> Hook:
    """What goes to the node takes its time, one after another, as on TCP."""
    free_s = 0.0

    def hook(source: str, target: str, message: Any) -> float | None:
        nonlocal free_s
        if target != to:
            return None
        size = len(messages.encode(message))
        free_s = max(free_s, net.now_s) + size / bytes_a_second
        return free_s - net.now_s

    return hook


def small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that each one is on its way for less than an election timeout, as the parts of a message are on TCP."""
    monkeypatch.setattr(transfer, "PIECE_BYTES", PIECE_BYTES)
    monkeypatch.setattr(replication, "APPEND_BYTES", PIECE_BYTES)


def a_node_that_lacks_a_big_snapshot(net: OurNet) -> tuple[str, str]:
    net.start_all("abc")
    leader = net.elect()
    net.create_big_poll(leader, options=400)  # so that a snapshot has some 30,000 bytes
    follower, third = net.others(leader)
    net.partition([follower], [leader, third])
    load(net, leader, 3, each_s=EACH_S)
    net.run(1)
    assert net.journal(leader).first_index > net.last_index(follower)
    return leader, follower


def lag(net: OurNet, leader: str, follower: str) -> int:
    return net.last_index(leader) - net.last_index(follower)


def test_a_snapshot_arrives_though_many_newer_ones_are_taken_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    small_messages(monkeypatch)
    with OurNet(1, **SMALL) as net:
        leader, follower = a_node_that_lacks_a_big_snapshot(net)
        begun = net.replicas[leader].status().snapshot_index
        net.listen(slow_link(net, follower, 4_000))
        net.heal()
        taken: set[int] = set()
        for _ in range(60):
            load(net, leader, 1, each_s=EACH_S)
            if not net.replicas[follower].status().snapshots_received:
                taken.add(net.replicas[leader].status().snapshot_index)
        assert len(taken - {begun}) > 4, "otherwise the link was not slow"
        assert 1 == net.replicas[follower].status().snapshots_received
        assert lag(net, leader, follower) < 10, "it has caught up, though votes came all the time"
        assert leader == net.leader()
        net.run(5)
        names = [name for name in net.directories[leader].files.names() if name.endswith(".snap")]
        assert len(names) <= 3, names


def test_a_link_that_breaks_costs_one_piece_though_newer_snapshots_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    small_messages(monkeypatch)
    with OurNet(1, **SMALL) as net:
        leader, follower = a_node_that_lacks_a_big_snapshot(net)
        slow, sent = slow_link(net, follower, 4_000), Counter[tuple[str, int]]()

        def hook(source: str, target: str, message: Any) -> float | str | None:
            if isinstance(message, messages.SnapshotChunk):
                sent[message.id, message.offset] += 1
            return slow(source, target, message)

        net.listen(hook)
        net.heal()
        while not net.replicas[follower].status().snapshots_received:
            load(net, leader, 1.5, each_s=EACH_S)
            net.flap(leader, follower)
        load(net, leader, 30, each_s=EACH_S)
        assert 1 == net.replicas[follower].status().snapshots_received
        assert 1 == len({id for id, _ in sent})
        assert lag(net, leader, follower) < 10


def test_a_connection_that_breaks_twice_at_once_costs_no_snapshot() -> None:
    """What the peer had said before counts no more for commits, but the leader goes on from there."""
    with OurNet(1, **SMALL) as net:
        net.start_all("abc")
        leader = net.elect()
        load(net, leader, 3, each_s=EACH_S)
        net.run(1)
        assert net.journal(leader).first_index > 2
        sent: list[str] = []
        net.listen(lambda source, target, message: sent.append(net.kind(message)))
        for _ in range(2):
            net.flap(leader, net.others(leader)[0])
        net.run(1)
        assert "snapshot" not in sent


def test_a_peer_that_is_gone_keeps_neither_log_nor_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    small_messages(monkeypatch)
    with OurNet(1, **SMALL) as net:
        leader, follower = a_node_that_lacks_a_big_snapshot(net)
        net.listen(slow_link(net, follower, 1_000))
        net.heal()
        load(net, leader, 3, each_s=EACH_S)
        net.crash(follower)
        load(net, leader, transfer.RESUME_S + 10, each_s=EACH_S)
        assert len([name for name in net.directories[leader].files.names() if name.endswith(".snap")]) == 2
        assert net.journal(leader).bytes_in_memory < 30_000


def test_a_link_too_slow_for_the_votes_takes_no_more_memory_than_a_few_snapshots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing helps such a peer. It must not harm the leader."""
    small_messages(monkeypatch)
    with OurNet(1, **SMALL) as net:
        leader, follower = a_node_that_lacks_a_big_snapshot(net)
        net.listen(slow_link(net, follower, 400))
        net.heal()
        most = 0
        for _ in range(100):
            load(net, leader, 2, each_s=EACH_S)
            most = max(most, net.journal(leader).bytes_in_memory)
        size = net.replicas[leader].status().snapshot_bytes
        assert most < transfer.LOG_PER_SNAPSHOT * size + 5 * SMALL["snapshot_bytes"]
        assert leader == net.leader()


# ---- the files ------------------------------------------------------------------------------------------------------


def test_a_snapshot_that_is_being_sent_stays_until_it_is_released() -> None:
    files = SimFiles(random.Random(1))
    store = SnapshotStore(files)
    first = store.save(10, 1, bytes(16), b"", b"first")
    store.hold(first)
    for index in range(20, 60, 10):
        store.save(index, 1, bytes(16), b"", b"newer")
    assert b"first" == store.read_chunk(first, 0, 100)
    assert 3 == len(files.names())
    store.release(first)
    store.remove_old()
    assert 2 == len(files.names())


def test_a_held_snapshot_that_is_among_the_newest_stays_when_released() -> None:
    files = SimFiles(random.Random(1))
    store = SnapshotStore(files)
    held = store.save(10, 1, bytes(16), b"", b"first")
    store.hold(held)
    store.hold(held)  # two peers are sent the same
    store.release(held)
    store.remove_old()
    assert b"first" == store.read_chunk(held, 0, 100)
    for index in (20, 30, 40):
        store.save(index, 1, bytes(16), b"", b"newer")
    assert b"first" == store.read_chunk(held, 0, 100)
    store.release(held)
    store.remove_old()
    assert 2 == len(files.names())
