"""What random histories seldom meet: single situations in which a replica must keep its word, or must not stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quorate.cluster.raft import wire
from quorate.cluster.raft.snapshots import SnapshotMeta, Snapshots
from tests.simulation.stock.our_net import OurNet


def do(net: OurNet, step: Callable[[], Any]) -> Any:
    """Something on the nodes' loop."""

    async def run() -> Any:
        return step()

    return net.wait_for(run())


def snapshot_of(net: OurNet, name: str) -> SnapshotMeta:
    """The node takes a snapshot of all it has applied."""
    snapshotting = net.replicas[name]._snapshotting
    do(net, snapshotting._take)
    assert net.until(lambda: snapshotting.newest is not None)
    assert snapshotting.newest is not None
    return snapshotting.newest


def test_a_snapshot_of_what_the_log_holds_does_not_cost_the_copies_behind_it() -> None:
    """Others may count on those: the follower said that it has them, before it was started again."""
    with OurNet(1, keep_bytes=1 << 20) as net:
        net.start_all("abc")
        leader = net.elect()
        follower, other = net.others(leader)
        net.partition([follower], [leader, other])
        net.propose_all(leader, "x", 20)
        net.run(0.2)
        meta = snapshot_of(net, leader)
        net.propose_all(leader, "y", 20)
        net.run(0.2)
        net.heal()
        last = net.last_index(leader)
        assert net.until(lambda: net.engine(leader)._match(follower) == last), "it says that it has all"
        net.crash(follower, power=False)
        net.partition([follower], [leader, other])
        net.start(follower)
        assert net.engine(follower).commit_index < meta.index < net.last_index(follower) == last
        data = Snapshots(net.directories[leader].files).read_chunk(meta, 0, meta.size)
        piece = wire.SnapshotChunk(
            net.term(leader), meta.index, meta.term, meta.chain, meta.members, meta.size, meta.id, 0, data
        )
        net.deliver(leader, follower, piece)
        net.run(0.2)
        assert last == net.last_index(follower)
        assert meta.index == net.engine(follower).commit_index, "that it proves"
