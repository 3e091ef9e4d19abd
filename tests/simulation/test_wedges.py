"""Situations in which a cluster could hang for ever or use more and more memory, and what must end each of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from quorate.cluster.admin import Admin
from quorate.cluster.raft import messages
from quorate.cluster.raft.members import Members
from quorate.cluster.raft.snapshot import transfer
from quorate.errors import Conflict, OutcomeUnknown
from tests.simulation import network
from tests.stock.one_engine import ELECTION_S, OneEngine
from tests.stock.our_net import OurNet

SMALL: dict[str, Any] = {"snapshot_bytes": 6_000, "keep_bytes": 300}


def do(net: OurNet, step: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return step()

    return net.wait_for(run())


def load(
    net: OurNet,
    name: str,
    seconds: float,
    *,
    each_s: float,
    pad_bytes: int = 0,
    meanwhile: Coroutine[Any, Any, Any] | None = None,
) -> None:
    """Propose at a steady pace, as far as the node accepts it."""

    async def propose() -> None:
        replica, until_s = net.replicas[name], net.loop.time() + seconds
        half_s = net.loop.time() + seconds / 2
        task = None
        while net.loop.time() < until_s:
            replica.propose(net.entry("load", bytes(pad_bytes))).add_done_callback(lambda done: done.exception())
            await asyncio.sleep(each_s)
            if meanwhile is not None and task is None and net.loop.time() > half_s:
                task = net.loop.create_task(meanwhile)
        if task is not None:
            await task

    net.wait_for(propose())


# ---- elections ------------------------------------------------------------------------------------------------------


def test_a_candidate_that_was_cut_off_asks_for_pre_ballots_again() -> None:
    """When the connection is back, the old pre-ballots no longer count: a leader may be alive."""
    with OneEngine() as a:
        a.now_s += 3 * ELECTION_S
        a.engine.tick()
        a.hears("b", messages.Ballot(1, pre=True))
        a.engine.peer_disconnected("b")
        a.engine.peer_disconnected("c")
        a.engine.tick()
        a.engine.peer_connected("b")
        a.now_s += 10
        sent = a.says(a.engine.tick)
        assert 0 == a.engine.term_now
        assert sent
        assert all(message.pre for _, message in sent if isinstance(message, messages.RequestBallot))


def test_a_leader_whose_disk_hangs_lets_another_lead() -> None:
    """Its heartbeats would go on, so that no other node starts an election; and it can commit nothing."""
    with OurNet(1) as net:
        net.start_all("abc")
        stuck = net.elect()
        net.disks[stuck]["quorate-disk"].hold()
        net.propose(stuck, "x")
        others = net.others(stuck)
        assert net.until(lambda: any(net.replicas[name].is_leader for name in others), limit_s=20)
        leader = next(name for name in others if net.replicas[name].is_leader)
        net.propose(leader, "y")
        net.run(10)
        assert "success" == net.outcomes["y"]
        assert leader == net.leader(), "and the one that hangs does not stand against it"
        net.disks[stuck]["quorate-disk"].release()
        assert net.until(lambda: "y" in net.tags(stuck), limit_s=5)
        assert {} == net.halted


def test_promises_do_not_pile_up_while_the_disk_hangs() -> None:
    with OneEngine() as a:
        a.follows(1)
        a.hears("b", messages.Append(1, 0, 1, 0, [(1, b"\x00x")]))
        for number in range(1000):
            a.hears("b", messages.Append(1, 0, 2, 1, [], number))
        assert len(a.engine._promises) < 10
        assert [("b", messages.Appended(1, 3, success=True, reset=False, round=999))] == a.syncs()


# ---- members --------------------------------------------------------------------------------------------------------


def test_a_refused_peer_with_a_members_name_does_not_harm_the_member() -> None:
    """For example a disk of the cluster of before an unsafe recovery. The member's own connection stays."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        member, other = net.others(leader)
        replica = net.replicas[leader]
        mine = net.replicas[member].introduction()
        raw_peer = msgspec.structs.replace(mine, incarnation="0" * 16, cluster_id="f" * 16)
        assert "another cluster's" in str(do(net, partial(replica.opened, member, raw_peer)))
        term = net.term(leader)
        net.partition([other], [leader, member])
        net.run(2)
        assert (leader, term) == (net.leader(), net.term(leader))


def change(net: OurNet, what: Callable[[Members], Members]) -> None:
    leader = net.leader()
    assert leader is not None
    net.wait_for(net.replicas[leader].change_members(what))


def test_a_change_that_the_present_voters_cannot_commit_is_refused() -> None:
    """It would count as soon as it is in the log, and leave the cluster without a majority."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        well, dead = net.others(leader)
        net.crash(dead)
        net.run(1)
        with pytest.raises(Conflict, match=dead):
            change(net, lambda members: members.removing(well))
        net.propose(leader, "x")
        net.run(1)
        assert "success" == net.outcomes["x"]
        change(net, lambda members: members.removing(dead))


def test_a_learner_with_a_slower_disk_becomes_a_voter_under_load() -> None:
    """It always lacks the entries that are proposed while its disk syncs once."""
    with OurNet(1, election_s=1.0) as net:
        net.start_all("abc")
        leader = net.elect()
        net.names.append("d")
        net.start("d")
        net.disks["d"]["quorate-disk"].sync_s = 0.1, 0.1
        with_load = partial(load, net, leader, 10, each_s=0.001)
        with_load(meanwhile=net.replicas[leader].change_members(lambda members: members.adding("d", "d:1")))
        assert leader == net.leader()
        assert net.replicas["d"].status().voter


def listed(net: OurNet, name: str) -> list[str]:
    return [f"{'+' if member.voter else '-'}{member.id}" for member in net.replicas[name].members()]


def empty_disk(net: OurNet, name: str) -> None:
    net.crash(name)
    net.wipe(name)
    net.start(name)


def has_new_disk(net: OurNet, leader: str, name: str) -> bool:
    """Whether the log means its new disk: as a learner, or as a voter already."""
    (member,) = (member for member in net.replicas[leader].members() if member.id == name)
    return member.incarnation in ("", net.directories[name].identity.incarnation)


def test_a_member_is_replaced_through_a_follower_however_long_each_entry_takes() -> None:
    """A replacement is two entries, each with its own deadline. A call that ends before both has an unknown outcome."""
    with OurNet(1, election_s=1.0) as net:
        net.start_all("abc")
        leader = net.elect()
        asked, lost = net.others(leader)
        operators = {name: Admin(replica) for name, replica in net.replicas.items() if name != lost}
        empty_disk(net, lost)
        net.disks[asked]["quorate-disk"].sync_s = 0.7 * network.CALL_S, 0.7 * network.CALL_S
        began_s = net.now_s
        net.wait_for(operators[asked].change("replace", lost, None))
        assert net.now_s - began_s > network.CALL_S
        assert has_new_disk(net, leader, lost)


def test_a_replacement_can_be_asked_for_again_after_its_leader_died() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        asked, lost = net.others(leader)
        net.replicas[asked].settings = replace(net.replicas[asked].settings, peers={})  # what it knows, the log told it
        operator = Admin(net.replicas[asked])
        empty_disk(net, lost)

        async def die_half_way(peer: str, data: bytes) -> bytes:
            await net.replicas[leader].change_members(lambda members: members.removing(lost))
            raise OutcomeUnknown("the link to the leader broke")

        net.replicas[leader].serve("members", die_half_way)
        with pytest.raises(OutcomeUnknown):
            net.wait_for(operator.change("replace", lost, None))
        assert net.until(lambda: listed(net, asked) == sorted(f"+{name}" for name in (leader, asked)))
        Admin(net.replicas[leader])  # another one leads, say
        net.wait_for(operator.change("replace", lost, None))
        assert has_new_disk(net, leader, lost)


# ---- snapshots on their way -----------------------------------------------------------------------------------------


def absent(net: OurNet) -> tuple[str, str]:
    """A leader, and a follower that was away for so long that only a snapshot helps."""
    net.start_all("abc")
    leader = net.elect()
    follower, third = net.others(leader)
    net.partition([follower], [leader, third])
    load(net, leader, 3, each_s=0.05, pad_bytes=200)
    net.run(1)
    assert net.journal(leader).first_index > net.last_index(follower)
    return leader, follower


def test_a_slow_piece_is_not_sent_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow connection each repeated piece would delay everything behind it, without end."""
    monkeypatch.setattr(transfer, "PIECE_BYTES", 256)
    with OurNet(1, **SMALL) as net:
        _, follower = absent(net)
        free_s = 0.0
        sent: Counter[int] = Counter()

        def line(source: str, target: str, message: Any) -> float | None:
            nonlocal free_s
            if not isinstance(message, messages.SnapshotChunk):
                return None
            sent[message.offset] += 1
            free_s = max(free_s, net.now_s) + 2.5
            return free_s - net.now_s

        net.listen(line)
        net.heal()
        assert net.until(lambda: net.replicas[follower].status().snapshots_received, limit_s=120)
        assert sum(sent.values()) <= len(sent) + 6, sent


def test_a_snapshot_arrives_though_a_newer_one_is_taken_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If each new snapshot restarted the transfer, or the entries after the old one were gone, it would never end."""
    monkeypatch.setattr(transfer, "PIECE_BYTES", 256)
    with OurNet(1, **SMALL) as net:
        leader, follower = absent(net)
        net.listen(lambda source, target, message: 0.3 if isinstance(message, messages.SnapshotChunk) else None)
        net.heal()
        load(net, leader, 20, each_s=0.05, pad_bytes=40)
        assert leader == net.leader()
        assert net.last_index(follower) >= net.last_index(leader) - 2
        assert net.replicas[follower].status().snapshots_received <= 2
