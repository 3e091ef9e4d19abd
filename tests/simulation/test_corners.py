"""Situations that random histories seldom reach, in which a replica must keep its promises, or must not stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine import replication
from quorate.cluster.raft.members import Members
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.errors import Halted, Invalid, NoLeader
from tests.simulation import cluster
from tests.stock.net import DROP
from tests.stock.our_net import OurNet


def do(net: OurNet, step: Callable[[], Any]) -> Any:
    """Run a step on the nodes' loop."""

    async def run() -> Any:
        return step()

    return net.wait_for(run())


def snapshot_of(net: OurNet, name: str) -> SnapshotMeta:
    """Let the node take a snapshot of everything it has applied."""
    compaction = net.running(name).compaction
    do(net, compaction._take)
    assert net.until(lambda: compaction.newest is not None)
    assert compaction.newest is not None
    return compaction.newest


def test_a_snapshot_of_entries_in_the_log_keeps_the_entries_after_it() -> None:
    """The leader may count on those: the follower said that it has them, before it was started again."""
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
        assert net.until(lambda: net.engine(leader).copied_index(follower) == last), "it says that it has all"
        net.crash(follower, power=False)
        net.partition([follower], [leader, other])
        net.start(follower)
        assert net.engine(follower).commit_index < meta.index < net.last_index(follower) == last
        data = SnapshotStore(net.directories[leader].files).read_chunk(meta, 0, meta.size)
        piece = messages.SnapshotChunk(
            net.term(leader), meta.index, meta.term, meta.chain, meta.members, meta.size, meta.id, 0, data
        )
        net.deliver(leader, follower, piece)
        net.run(0.2)
        assert last == net.last_index(follower)
        assert meta.index == net.engine(follower).commit_index, "that it proves"


def test_overtaken_proposals_are_answered_though_nobody_votes() -> None:
    """Entries of another term took their place. If nobody told the proposers, they would wait for ever."""
    with OurNet(1) as net:
        net.start_all("abc")
        old = net.elect()
        net.partition([old], net.others(old))
        tags = net.propose_all(old, "x", 3)
        net.elect(net.others(old))
        assert {} == net.outcomes
        net.heal()
        net.run(2)
        assert dict.fromkeys(tags, "no") == net.outcomes


def test_a_leader_alone_counts_its_own_copies_only_when_they_are_on_disk() -> None:
    with OurNet(1) as net:
        net.start_all("a")
        net.crash("a")
        net.start("a")
        net.disks["a"]["quorate-disk"].hold()
        net.run(2)
        assert net.leads("a")
        assert net.engine("a").commit_index <= net.journal("a").synced_index < net.last_index("a")


def test_a_follower_remembers_what_was_committed() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]
        tags = net.propose_all(leader, "x", 5, each_s=0.1)
        net.run(2)
        net.crash(follower)
        net.partition([follower], net.others(follower))
        net.start(follower)
        net.run(1)
        assert tags == net.tags(follower), "nobody had to tell it again"


def test_a_leader_with_other_committed_entries_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """Asking for the entries again would go on for ever, as fast as the network is. It is one peer's word, so the node
    goes on without it."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]
        at = net.engine(follower).commit_index
        net.deliver(leader, follower, messages.Append(net.term(leader), at, at, 0, []))
        net.run(1)
        assert {} == net.halted
        assert "which is committed and stays" in caplog.text


def test_kept_entries_are_measured_like_the_log_that_makes_a_snapshot_due() -> None:
    """Small entries take more memory than their commands. With too many kept, a snapshot would always be due."""
    with OurNet(1, keep_bytes=10_000) as net:
        net.start_all("abc")
        leader = net.elect()
        net.propose_all(leader, "x", 300, each_s=0.001)
        net.run(1)
        snapshot_of(net, leader)
        assert 8_000 < net.journal(leader).bytes_in_memory <= 10_500


def test_a_node_starts_an_election_only_when_a_majority_agreed() -> None:
    """PySyncObj reads the clock again after our check: an election that was not due then may be due now."""
    with OurNet(1) as net:
        net.start_all("abc")
        engine = net.engine(net.others(net.elect())[0])
        term = engine.term_now

        def tick() -> None:
            engine.tick_elections = lambda: setattr(engine, "_SyncObj__raftElectionDeadline", 0)  # type: ignore[method-assign]
            engine.tick()

        do(net, tick)
        assert term == engine.term_now


def test_a_leader_that_sends_a_big_message_goes_on_leading() -> None:
    """No other message arrives for longer than an election timeout, in either direction."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        followers = net.others(leader)
        term = net.term(leader)
        net.listen(lambda source, target, message: DROP if source == leader else None)
        for _ in range(40):
            net.run(0.05)
            for name in followers:
                do(net, partial(net.replicas[name].progress, leader))
        assert net.replicas[leader].is_leader
        net.listen(None)
        net.run(1)
        assert (leader, term) == (net.leader(), net.term(leader))


def test_the_copies_on_an_emptied_disk_no_longer_count() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        emptied, other = net.others(leader)
        net.crash(emptied)
        net.wipe(emptied)
        net.start(emptied)
        assert net.until(lambda: net.last_index(emptied) == net.last_index(leader))
        net.partition([other], [leader, emptied])
        net.propose(leader, "x")
        net.run(2)
        assert net.last_index(emptied) == net.last_index(leader), "it has the entry"
        assert "success" != net.outcomes.get("x"), "but who means by it the disk that was there"
        net.heal()
        net.elect()
        net.propose(net.elect(), "y")
        net.run(1)
        assert "success" == net.outcomes["y"]


def test_the_copies_of_a_learner_no_longer_count_after_its_disk_is_emptied() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        emptied = net.others(leader)[0]
        engine = net.engine(leader)
        assert engine.copied_index(emptied) == net.last_index(leader)
        net.listen(lambda source, target, message: DROP if source == emptied else None)
        net.crash(emptied)
        net.wipe(emptied)
        net.start(emptied)
        net.run(0.1)
        assert 0 == engine.copied_index(emptied)


def change(net: OurNet, what: Callable[[Members], Members]) -> None:
    leader = net.leader()
    assert leader is not None
    net.wait_for(net.replicas[leader].change_members(what))


def join(net: OurNet, name: str) -> None:
    """A new node becomes a voter."""
    net.names.append(name)
    net.start(name)
    change(net, lambda members: members.adding(name, f"{name}:1"))
    assert net.until(lambda: net.replicas[name].status().voter)


def test_a_node_that_was_away_accepts_a_leader_that_joined_meanwhile() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        away = net.others(leader)[0]
        net.crash(away)
        join(net, "d")
        net.hand_over(leader, "d")
        assert net.until(lambda: net.replicas["d"].is_leader)
        net.propose("d", "x")
        net.start(away)
        assert net.until(lambda: net.tags(away) == ["x"])
        assert {} == net.halted


def test_a_node_that_was_removed_while_it_was_away_is_told_and_stops() -> None:
    with OurNet(1) as net:
        net.start_all("abcd")
        leader = net.elect()
        away = net.others(leader)[0]
        net.crash(away)
        change(net, lambda members: members.removing(away))
        net.start(away)
        assert net.until(lambda: away in net.halted, limit_s=5)
        assert "removed from the cluster" in str(net.halted[away])


def test_leadership_is_handed_over_under_load() -> None:
    """While more is proposed, no follower ever has the whole log. And a follower that is asked may not take over."""
    with OurNet(1) as net:
        net.start_all("abc")
        old = net.elect()
        deaf, new = sorted(net.others(old))
        net.listen(
            lambda source, target, message: DROP if (target, net.kind(message)) == (deaf, "timeoutnow") else None
        )
        tags = [f"x{number}" for number in range(4000)]

        async def load() -> bool:
            asked = asyncio.get_running_loop().create_task(net.replicas[old].transfer_leadership())
            for tag in tags:
                if asked.done():
                    break
                net.replicas[old].propose(net.entry(tag)).add_done_callback(lambda done: done.exception())
                await asyncio.sleep(0.001)
            return await asked

        assert net.wait_for(load())
        assert net.until(lambda: net.leads(new))


def test_waiting_reads_fail_when_the_replica_stops() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        replica = net.replicas[net.elect()]
        net.listen(lambda source, target, message: DROP)

        async def end() -> None:
            waiting = asyncio.get_running_loop().create_task(replica.barrier())
            await asyncio.sleep(0)
            replica._halt(Halted("for a test"))
            with pytest.raises(NoLeader):
                await asyncio.wait_for(waiting, 1)

        net.wait_for(end())


def test_a_full_disk_stops_a_node_in_words_and_it_starts_again_with_room() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        tags = net.propose_all(leader, "x", 5)
        net.run(1)
        net.directories[leader].files.room_bytes = 0
        for number in range(40):
            net.propose(leader, f"too much {number}", bytes(60_000))
        assert net.until(lambda: leader in net.halted)
        assert "No space left" in str(net.halted[leader])
        assert "make room" in str(net.halted[leader])
        net.crash(leader, power=True)
        net.directories[leader].files.room_bytes = None
        net.start(leader)
        net.elect()
        assert net.until(lambda: tags == [tag for tag in net.tags(leader) if tag in tags])


def test_time_goes_on_in_a_node_started_in_a_quiet_cluster() -> None:
    """The entries that it applies at start are old. They are no reason to take its own clock for wrong."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]
        net.propose(leader, "x")
        net.run(120)
        net.crash(follower)
        net.start(follower)
        assert net.until(lambda: net.tags(follower) == ["x"])
        net.run(1)
        clock = net.replicas[follower].clock
        late_ms = clock.now_ms() - net.replicas[leader].now_ms()  # the leader asks the others for theirs
        assert 0 <= late_ms < 10
        assert 0 == clock.refused


def test_a_follower_whose_disk_hangs_holds_a_bounded_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "PENDING_BYTES_MAX", 50_000)
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]
        disk = net.disks[follower]["quorate-disk"]
        disk.hold()
        tags = net.propose_all(leader, "x", 100, each_s=0.01, pad_bytes=5_000)
        messages = net.wire.messages
        net.run(2)
        assert net.wire.messages - messages < 500, "and is not asked for it again and again"
        assert len(tags) == net.told("success", tags)
        assert 50_000 < net.journal(follower).pending_bytes < 60_000
        disk.release()
        assert net.until(lambda: tags == net.tags(follower), limit_s=5)


def test_a_member_that_died_before_it_wrote_its_cluster_down_does_so_later() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        net.elect()
        join(net, "d")
        net.run(1)
        snapshot_of(net, "d")
        net.crash("d")
        net.directories["d"].save_identity(cluster_id=None, members=None)
        net.start("d")
        assert net.until(lambda: net.replicas["d"].status().voter, limit_s=5)


def test_a_leader_does_not_remove_itself() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        with pytest.raises(Invalid, match="quorate leader --hand-over"):
            change(net, lambda members: members.removing(leader))


@pytest.mark.parametrize("seed", range(4))
def test_slow_disks_do_not_prevent_an_election(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An election needs the candidate's sync and then a voter's. The candidate must wait for both."""
    monkeypatch.setattr(cluster, "SYNC_S", (0.3, 0.5))
    with OurNet(seed, election_s=1.0) as net:
        net.names = list("abc")
        for name in net.names:
            net.start(name)
        assert net.until(net.leader, limit_s=5)
        net.run(3)
        leader = net.leader()
        assert leader is not None
        net.crash(leader)
        assert net.until(net.leader, limit_s=5)
