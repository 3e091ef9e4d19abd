"""Copies: what stock PySyncObj does to entries on their way, and ours does not. One script a pair, run on both.

`test_NAME_stock` shows the failure on the library as it is installed, `test_NAME_ours` its absence in our replica.
"""

from __future__ import annotations

import gzip
import itertools
import pickle
import random
import zlib
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster.raft import replication, transfer
from tests.simulation.stock.net import DROP, Net
from tests.simulation.stock.our_net import OurNet
from tests.simulation.stock.stock_net import StockNet, private

SEEDS = range(5)
PATIENT: dict[str, Any] = {"raftMinTimeout": 1.0, "raftMaxTimeout": 2.5, "connectionTimeout": 4.0}


def count_snapshots(net: Net, to: str) -> list[int]:
    """Count the pieces of snapshots that are sent to a node from now on."""
    pieces = [0]

    def hook(source: str, target: str, message: Any) -> None:
        pieces[0] += target == to and net.kind(message) == "snapshot"

    net.listen(hook)
    return pieces


# ---- a snapshot proves no more than it holds ------------------------------------------------------------------------


def false_acks(net: Net) -> list[str]:
    """A deposed leader holds entries that nobody else has, and is brought up to date by a snapshot."""
    net.start_all("abc")
    old = net.elect()
    rest = net.others(old)
    net.partition([old], rest)
    tail = net.propose_all(old, "lost", 5)
    new = net.elect(rest)
    net.propose_all(new, "kept", 120, each_s=0.01)
    net.run(2)
    pieces = count_snapshots(net, old)
    net.heal()
    net.run(10)
    assert pieces[0] > 3, "no snapshot in several pieces was sent"
    assert net.tags(new) == net.tags(old)
    return [tag for tag in tail if net.fates.get(tag) == "success" and tag not in net.tags(new)]


@pytest.mark.parametrize("seed", SEEDS)
def test_false_ack_snapshot_stock(seed: int) -> None:
    with StockNet(seed, message_s=0.002, logCompactionMinEntries=20, logCompactionBatchSize=256) as net:
        assert 5 == len(false_acks(net)), "each piece moves the commit index over what this node alone has"


@pytest.mark.parametrize("seed", SEEDS)
def test_false_ack_snapshot_ours(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PIECE_BYTES", 512)
    with OurNet(seed, message_s=0.002, snapshot_bytes=2_000) as net:
        assert [] == false_acks(net)
        assert 5 == net.told("unknown") + net.told("no"), "and all were answered"


def put_back(net: Net) -> list[tuple[int, int]]:
    """A slow link: the leader sends the same snapshot several times. (acknowledged index, a lower one later)."""
    net.start_all("abc")
    leader = net.elect()
    behind, third = net.others(leader)
    net.partition([behind], [leader, third])
    net.propose_all(leader, "before", 60, each_s=0.1)
    net.run(1)
    net.partition([third], [leader, behind])
    pieces, claims = [0], []

    def hook(source: str, target: str, message: Any) -> None:
        pieces[0] += target == behind and net.kind(message) == "snapshot"
        if source == behind and net.kind(message) == "appended":
            success, index = _said(message)
            if success:
                claims.append(index)

    net.listen(hook)
    net.propose_all(leader, "after", 20)
    net.run(4)
    assert pieces[0] > 0, "no snapshot was sent"
    assert net.last_index(leader) in claims
    return [(a, b) for a, b in itertools.pairwise(claims) if b < a]


def _said(message: Any) -> tuple[bool, int]:
    """Whether an answer promises a copy, and up to which index."""
    if isinstance(message, dict):
        return bool(message["success"]), int(message["next_node_idx"]) - 1
    return bool(message.success), int(message.next_index) - 1


def test_old_snapshot_rollback_stock() -> None:
    slow: dict[str, Any] = {"delay_s": (0.14, 0.15), "message_s": 0.002, "send_s": 0.0005}
    with StockNet(3, logCompactionMinEntries=30, **slow, **PATIENT) as net:
        assert put_back(net), "a repeated snapshot clears the log, and what was acknowledged after it"


def test_old_snapshot_rollback_ours() -> None:
    with OurNet(3, election_s=1.0, delay_s=(0.14, 0.15), message_s=0.002, snapshot_bytes=1_000, keep_bytes=300) as net:
        assert [] == put_back(net)


def test_old_snapshot_rollback_late_ours() -> None:
    """The whole snapshot comes a second time, after what was counted since."""
    with OurNet(3, snapshot_bytes=1_000, keep_bytes=300) as net:
        leader, follower = behind_the_log(net)
        pieces: list[Any] = []

        def hook(source: str, target: str, message: Any) -> None:
            if target == follower and net.kind(message) == "snapshot":
                pieces.append(message)

        net.listen(hook)
        net.heal()
        net.run(1)
        net.listen(None)
        tags = net.propose_all(leader, "after", 2)
        net.run(1)
        assert set(tags) < set(net.tags(follower))
        before = net.tags(follower), net.last_index(follower), net.engine(follower).commit_index
        for piece in pieces:
            net.deliver(leader, follower, piece)
            net.run(0.02)
            assert before <= (net.tags(follower), net.last_index(follower), net.engine(follower).commit_index)
        assert pieces, "no snapshot was sent"


# ---- matching entries are never cut ---------------------------------------------------------------------------------


def late_heartbeat(net: Net) -> tuple[int, int, int]:
    """A heartbeat comes late, and the leader dies. The follower's last index before and after; how many were lost."""
    net.start_all("abc")
    leader = net.elect()
    follower, third = net.others(leader)
    net.propose_all(leader, "base", 3)
    net.run(1)
    kept: list[Any] = []

    def hook(source: str, target: str, message: Any) -> None:
        if (source, target) == (leader, follower) and net.kind(message) == "heartbeat":
            kept.append(message)

    net.listen(hook)
    net.run(0.5)
    net.listen(None)
    net.partition([third], [leader, follower])
    tags = net.propose_all(leader, "more", 20)
    net.run(1)
    assert 20 == net.told("success", tags)
    before = net.last_index(follower)
    net.crash(leader)
    net.deliver(leader, follower, kept[-1])
    after = net.last_index(follower)
    net.heal()
    net.elect([follower, third])
    net.run(3)
    return before, after, 20 - len(set(tags) & set(net.tags(third)))


def test_truncate_matching_stock() -> None:
    with StockNet(1) as net:
        before, after, lost = late_heartbeat(net)
        assert after == before - 20, "all behind the heartbeat's place is deleted, though it is equal"
        assert 20 == lost


def test_truncate_matching_ours() -> None:
    with OurNet(1) as net:
        before, after, lost = late_heartbeat(net)
        assert after == before
        assert 0 == lost


def lost_in_resend(net: Net, after_s: float) -> int:
    """A slow link breaks once; the leader dies a moment after the last acknowledgement. How many of those are gone."""
    net.start_all("abc")
    leader = net.elect()
    follower, third = net.others(leader)
    net.partition([third], [leader, follower])
    tags = net.propose_all(leader, "x", 60)
    net.run(0.2)
    net.flap(leader, follower)
    assert net.until(lambda: net.told("success", tags) == 60)
    net.run(after_s)
    net.crash(leader)
    net.heal()
    net.elect([follower, third])
    net.run(3)
    return 60 - len(set(tags) & set(net.tags(third)))


MOMENTS_S = [number * 0.01 for number in range(16)]


def test_truncate_resend_stock() -> None:
    slow: dict[str, Any] = {"delay_s": (0.14, 0.15), "message_s": 0.01, "appendEntriesBatchSizeBytes": 1024}
    lost = []
    for after_s in MOMENTS_S:
        with StockNet(3, **slow, **PATIENT) as net:
            lost.append(lost_in_resend(net, after_s))
    assert any(lost), "the first batch of each resend deletes what the rest had brought"


def test_truncate_resend_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "APPEND_BYTES", 1024)
    for after_s in MOMENTS_S:
        with OurNet(3, election_s=1.0, delay_s=(0.14, 0.15), message_s=0.01) as net:
            assert 0 == lost_in_resend(net, after_s), after_s


# ---- a node that comes back catches up ------------------------------------------------------------------------------


def catch_up_s(net: Net, tail: int, pad_bytes: int = 0, *, limit_s: float = 60.0) -> float | None:
    """A node comes back with so many entries of its own and finds a leader that was elected after them."""
    net.start_all("abc")
    old = net.elect()
    rest = net.others(old)
    net.partition([old], rest)
    net.propose_all(old, "lost", tail)
    new = net.elect(rest)
    net.propose_all(new, "kept", 200 if pad_bytes else tail + 5, pad_bytes=pad_bytes)
    net.run(2)
    net.hand_over(new, net.others(old, new)[0])
    net.run(3)
    newest = net.leader(rest)
    assert newest is not None
    assert newest != new
    net.heal()
    began_s = net.now_s
    caught = net.until(lambda: net.tags(old) == net.tags(newest), limit_s=limit_s)
    return net.now_s - began_s if caught else None


def test_slow_rollback_stock() -> None:
    took = []
    for tail in (50, 200):
        with StockNet(1, logCompactionMinEntries=100_000) as net:
            took.append(catch_up_s(net, tail) or 999.0)
    assert took[0] > 3, "one entry back a round"
    assert took[1] > 10
    assert took[1] > 3 * took[0]


def test_slow_rollback_ours() -> None:
    for tail in (50, 200):
        with OurNet(1) as net:
            took_s = catch_up_s(net, tail)
            assert took_s is not None
            assert took_s < 0.5, "back to what is committed, in one step"


def answered_without(net: Net) -> int:
    """With one node down and one that may have caught up: how many of three proposals are answered in 25 s."""
    net.crash(next(name for name in sorted(net.up()) if not net.leads(name) and len(net.tags(name)) >= 200))
    leader = net.leader()
    assert leader is not None
    tags = net.propose_all(leader, "now", 3)
    net.run(25)
    return net.told("success", tags)


def test_backoff_livelock_stock() -> None:
    with StockNet(1) as net:
        assert catch_up_s(net, 5, pad_bytes=10) is not None, "what fits one message arrives"
    with StockNet(1) as net:
        assert catch_up_s(net, 5, pad_bytes=1000, limit_s=120) is None, "the refusal of a second batch undoes the step"
        assert 0 == answered_without(net)


def test_backoff_livelock_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "APPEND_BYTES", 65536)
    with OurNet(1) as net:
        took_s = catch_up_s(net, 5, pad_bytes=1000)
        assert took_s is not None
        assert took_s < 1
        assert 3 == answered_without(net)


# ---- what counts as a copy ------------------------------------------------------------------------------------------


def stale_ack(net: Net) -> tuple[str | None, int]:
    """Answers to a node's first leadership come in its next one. What a proposal is told; how many copies it has."""
    net.start_all("abcde")
    leader = net.elect()
    first, *rest = net.others(leader)
    net.partition([leader, first], rest)
    late: list[Any] = []

    def keep(source: str, target: str, message: Any) -> str | None:
        if (source, target) == (first, leader) and net.kind(message) == "appended":
            late.append(message)
            return DROP
        return None

    net.listen(keep)
    net.propose_all(leader, "first", 6)
    net.run(1)
    net.listen(None)
    net.elect(rest)
    net.heal()
    net.run(8)
    net.listen(lambda source, target, message: DROP if first in (source, target) else None)
    now = net.leader()
    assert now is not None
    net.hand_over(now, leader)
    assert net.until(lambda: net.leader() == leader, limit_s=20)
    net.run(1)
    follower = rest[0]
    net.listen(lambda source, target, message: DROP if {source, target} != {leader, follower} else None)
    base = net.last_index(leader)
    net.propose(leader, "second")
    net.run(0.3)
    assert net.fates.get("second") is None
    assert late, "nothing was late"
    for message in late:
        net.deliver(first, leader, message)
    net.run(0.3)
    return net.fates.get("second"), sum(net.last_index(name) > base for name in net.up())


def test_stale_ack_stock() -> None:
    with StockNet(2) as net:
        assert ("success", 2) == stale_ack(net), "an answer does not say in which term it was given"


def test_stale_ack_ours() -> None:
    with OurNet(2) as net:
        assert (None, 2) == stale_ack(net)


# ---- sizes ----------------------------------------------------------------------------------------------------------

BIG_BYTES = [1_000, 100_000, 1_000_000]


def test_big_entry_stock() -> None:
    errors = []
    for size in BIG_BYTES:
        with StockNet(1) as net:
            net.start_all("abc")
            net.propose(net.elect(), "big", random.Random(1).randbytes(size))
            net.run(20)
            errors.append(len(net.errors))
    assert 0 == errors[0]
    assert errors[2] > 0, "pieces of an entry over 64 KiB are taken for the last one, and cannot be read"


@pytest.mark.parametrize("size", [*BIG_BYTES, 8 * 1024 * 1024])
def test_big_entry_ours(size: int) -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.propose(leader, "big", random.Random(1).randbytes(size))
        net.propose(leader, "behind it")
        assert net.until(lambda: all(net.tags(name) == ["big", "behind it"] for name in "abc"), limit_s=2)
        assert {} == net.halted


# ---- snapshots on their way -----------------------------------------------------------------------------------------


def behind_the_log(net: Net) -> tuple[str, str]:
    """A leader, and a follower whose next entry it has no more."""
    net.start_all("abc")
    leader = net.elect()
    follower, third = net.others(leader)
    net.partition([follower], [leader, third])
    net.propose_all(leader, "x", 60, each_s=0.05)
    net.run(1)
    return leader, follower


def test_snapshot_flood_stock() -> None:
    """While the child that writes a dump is alive there is nothing to send: it says so as fast as it can."""
    with StockNet(1, logCompactionMinEntries=20, send_s=1e-5) as net:
        leader, follower = behind_the_log(net)
        node = net.nodes[leader]
        private(node, "serializer")._Serializer__pid = 1 << 22  # as while the child works
        net.heal()
        private(node, "raftNextIndex")[net.node(follower)] = 2
        pieces = count_snapshots(net, follower)
        private(node, "sendAppendEntries")()
        assert pieces[0] > 5_000, "in one call, until a tenth of a second has passed"


def test_snapshot_flood_ours() -> None:
    with OurNet(1, snapshot_bytes=2_000, keep_bytes=300) as net:
        leader, follower = behind_the_log(net)
        disk = net.disks[leader]["quorate-snapshots"]
        disk.hold()
        net.propose_all(leader, "y", 60)
        net.run(0.5)
        assert 1 == len(disk), "a snapshot is being written"
        sent = net.wire.messages
        net.heal()
        net.run(100)
        each_s = (net.wire.messages - sent) / 100
        assert each_s < 4 * 3 / net.engine(leader).timing.heartbeat_s, "heartbeats, their answers, and little else"
        assert len(disk) <= 2, "at most one piece is asked of the disk at a time"
        disk.release()
        assert net.until(lambda: net.tags(follower) == net.tags(leader), limit_s=5)


def cut_while_sending(net: Net, to: str, at: list[int]) -> list[Any]:
    """Break the link and make it again at once when so many pieces have been sent; the pieces."""
    pieces: list[Any] = []

    def hook(source: str, target: str, message: Any) -> None:
        if target == to and net.kind(message) == "snapshot":
            pieces.append(message)
            if len(pieces) in at:
                net.loop.call_soon(net.wire.flap, source, target)

    net.listen(hook)
    return pieces


def test_big_snapshot_load_stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver joins what it has to a file with a hole, puts it in its dump's place, and says it has everything."""
    failed: list[str] = []
    monkeypatch.setattr("pysyncobj.syncobj.logger.exception", lambda text, *rest, **named: failed.append(text))
    conf: dict[str, Any] = {"logCompactionMinEntries": 30, "logCompactionBatchSize": 8192}
    with StockNet(0, folder=tmp_path, message_s=0.0005, send_s=0.002, **conf) as net:
        net.start_all("abc")
        old = net.elect()
        rest = net.others(old)
        for node in net.nodes.values():
            node.pad = random.Random(1).randbytes(2**20)
        net.partition([old], rest)
        new = net.elect(rest)
        net.propose_all(new, "kept", 60, each_s=0.1)
        net.run(1)
        cut_while_sending(net, old, [60])
        net.heal()
        assert net.until(lambda: "failed to load full dump" in failed, limit_s=20)
        with pytest.raises((zlib.error, EOFError, gzip.BadGzipFile, pickle.UnpicklingError)):
            private(net.nodes[old], "serializer").deserialize()


def test_big_snapshot_load_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PIECE_BYTES", 8192)
    with OurNet(0, message_s=0.0005, snapshot_bytes=30_000, keep_bytes=3_000) as net:
        net.start_all("abc")
        old = net.elect()
        rest = net.others(old)
        net.partition([old], rest)
        new = net.elect(rest)
        net.create_big_poll(new, options=20_000)
        net.propose_all(new, "kept", 200, each_s=0.01)
        net.run(1)
        pieces = cut_while_sending(net, old, [30, 60, 90])
        net.heal()
        assert net.until(lambda: net.tags(old) == net.tags(new), limit_s=20)
        net.run(1)
        assert {} == net.halted
        assert net.replicas[old].state.digest() == net.replicas[new].state.digest()
        needed = pieces[-1].size // 8192 + 1
        assert 90 < needed < len(pieces) <= needed + 3 * 3, "it went on from where it was"
