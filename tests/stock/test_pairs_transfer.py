"""Snapshots on their way: what stock PySyncObj believes of their pieces, and ours does not. One script a pair.

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

from quorate.cluster.raft.snapshot import transfer
from tests.stock.net import Net
from tests.stock.our_net import OurNet
from tests.stock.stock_net import StockNet, private

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
    return [tag for tag in tail if net.outcomes.get(tag) == "success" and tag not in net.tags(new)]


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
