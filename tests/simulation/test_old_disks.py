"""An old copy of a data folder is put back: its node has forgotten entries and ballots that others relied on.

Its peers remember them. So the node finds out before it gives a ballot or stores a copy for one of these peers, and
from then on its disk counts no more than one that was emptied.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from quorate.cluster.raft import messages
from quorate.cluster.raft.remembered import Remembered
from quorate.cluster.raft.storage.memory_file import NAME
from tests.simulation.cluster import SimDirectory
from tests.simulation.network import SimTransport
from tests.stock.net import DROP
from tests.stock.our_net import OurNet


def put_back(net: OurNet, name: str, copy: SimDirectory) -> None:
    """Give a node that is down an old copy of its data folder."""
    net.directories[name] = copy


def is_old(net: OurNet, name: str) -> bool:
    return bool(net.replicas[name].status().forgotten)


def no_entries(source: str, target: str, message: Any) -> str | None:
    return DROP if isinstance(message, messages.Append) and message.entries else None


def committed(net: OurNet, leader: str, tag: str) -> None:
    net.propose(leader, tag)
    assert net.until(lambda: net.outcomes.get(tag) == "success", limit_s=5), tag


def copied_before_x(net: OurNet, after_s: float = 0.0) -> tuple[str, str, str, SimDirectory]:
    """A leader, a follower, the other follower, and a copy of the first one's disk, made before x was committed."""
    net.start_all("abc")
    leader = net.elect()
    old, other = net.others(leader)
    net.run(after_s)
    copy = net.copy_of_disk(old)
    committed(net, leader, "x")
    return leader, old, other, copy


def two_copied_before_x(net: OurNet) -> tuple[str, dict[str, SimDirectory]]:
    """A leader, and copies of its followers' disks, made before x was committed on all three."""
    net.start_all("abc")
    leader = net.elect()
    copies = {name: net.copy_of_disk(name) for name in net.others(leader)}
    committed(net, leader, "x")
    net.run(2)
    return leader, copies


def restart_with(net: OurNet, name: str, copy: SimDirectory) -> None:
    """Crash a node, and start it with an old copy of its data folder."""
    net.crash(name)
    put_back(net, name, copy)
    net.start(name)


def start_all_with(net: OurNet, name: str, copy: SimDirectory) -> None:
    """Start all nodes, which are down, one of them with an old copy of its data folder."""
    put_back(net, name, copy)
    for each in net.names:
        net.start(each)
    net.run(5)


def test_a_follower_that_forgot_an_entry_elects_no_leader_without_it() -> None:
    """Two had acknowledged it. One of them forgets it, and the other dies: the third must not lead with its help."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        old, lagging = net.others(leader)
        net.partition([lagging], [leader, old])
        copy = net.copy_of_disk(old)
        committed(net, leader, "x")
        net.crash(old)
        put_back(net, old, copy)
        net.listen(no_entries)
        net.start(old)
        net.run(0.1)
        net.crash(leader)
        net.heal()
        net.run(20)
        assert {} == net.halted
        assert net.leader() is None, "the two that live do not know of x"
        assert is_old(net, old)
        net.listen(None)
        net.start(leader)
        assert net.until(lambda: all("x" in net.tags(name) for name in net.names), limit_s=20)


def test_the_copies_of_an_old_disk_count_no_more() -> None:
    with OurNet(1) as net:
        leader, old, other, copy = copied_before_x(net)
        net.run(0.2)
        restart_with(net, old, copy)
        assert net.until(lambda: "x" in net.tags(old), limit_s=5), "it is sent what it lacks all the same"
        net.crash(other)
        net.propose(leader, "y")
        net.run(10)
        assert "success" != net.outcomes.get("y")
        assert "y" not in [tag for name in net.replicas for tag in net.tags(name)]
        assert not net.replicas[old].status().voter


def test_an_old_disk_is_replaced_as_an_emptied_one_is_and_need_not_be_emptied() -> None:
    with OurNet(1) as net:
        leader, old, other, copy = copied_before_x(net)
        net.run(0.2)  # the leader learns that it has it, too
        restart_with(net, old, copy)
        assert net.until(lambda: is_old(net, old), limit_s=5)
        words = net.replicas[old].status().forgotten
        assert words is not None
        assert f"quorate members replace {old}" in words
        net.wait_for(net.replicas[leader].change_members(lambda members: members.removing(old)))
        net.wait_for(net.replicas[leader].change_members(lambda members: members.adding(old, old)))
        assert net.until(lambda: net.replicas[old].status().voter, limit_s=20)
        assert not is_old(net, old)
        net.crash(other)
        committed(net, net.elect(), "y")
        assert {} == net.halted


def test_every_peer_meets_the_disk_anew_before_the_old_one_is_removed() -> None:
    """Otherwise a peer that has not heard of it yet tells the node that it was removed, and the node ends (seed 4008 of
    the simulation)."""
    with OurNet(1) as net:
        leader, old, other, copy = copied_before_x(net)
        net.run(1)
        net.crash(old)
        put_back(net, old, copy)
        net.wire.loss[old, other] = 1.0
        net.start(old)
        assert net.until(lambda: is_old(net, old), limit_s=5)
        net.wait_for(net.replicas[leader].change_members(lambda members: members.removing(old)))
        net.run(2)
        assert {} == net.halted
        net.wire.loss.clear()
        net.wait_for(net.replicas[leader].change_members(lambda members: members.adding(old, old)))
        assert net.until(lambda: net.replicas[old].status().voter, limit_s=20)


def test_a_copy_from_before_the_cluster_was_formed_is_found_out() -> None:
    """It has the incarnation that the log means, and believes its peers at once that it is a founder."""
    with OurNet(1) as net:
        net.names = list("abc")
        net.start("a")
        copy = net.copy_of_disk("a")
        for name in "bc":
            net.start(name)
        leader = net.elect()
        committed(net, leader, "x")
        restart_with(net, "a", copy)
        net.run(3)
        assert is_old(net, "a")
        assert {} == net.halted


def test_a_copy_from_before_a_learner_became_a_voter_is_found_out() -> None:
    """Its identity knows no cluster yet, and its log makes it a voter as soon as it has caught up."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.names.append("d")
        net.start("d")
        copy = net.copy_of_disk("d")
        net.wait_for(net.replicas[leader].change_members(lambda members: members.adding("d", "d")))
        assert net.until(lambda: net.replicas["d"].status().voter, limit_s=20)
        committed(net, leader, "x")
        net.run(2)
        restart_with(net, "d", copy)
        assert net.until(lambda: "x" in net.tags("d"), limit_s=20)
        net.run(2)
        assert not net.replicas["d"].status().voter
        assert is_old(net, "d")
        assert net.directories["d"].identity.incarnation not in {m.incarnation for m in net.replicas[leader].members()}
        assert {} == net.halted


def test_a_former_leader_with_an_old_disk_does_not_lead_its_term_again() -> None:
    with OurNet(2) as net:
        net.start_all("abc")
        first = net.elect()
        copy = net.copy_of_disk(first)
        net.hand_over(first, net.others(first)[0])
        assert net.until(lambda: net.leads(net.others(first)[0]))
        net.run(1)
        net.hand_over(net.others(first)[0], first)
        assert net.until(lambda: net.leads(first))
        committed(net, first, "x")
        net.run(0.2)
        restart_with(net, first, copy)
        net.run(5)
        assert is_old(net, first)
        assert net.leader() in net.others(first)
        assert all("x" in net.tags(name) for name in net.names)
        assert {} == net.halted


def test_two_old_disks_of_three_elect_nobody() -> None:
    """They are a majority, and the third knows what they forgot: people must decide then."""
    with OurNet(1) as net:
        leader, copies = two_copied_before_x(net)
        for name, copy in copies.items():
            net.crash(name)
            put_back(net, name, copy)
        for name in copies:
            net.start(name)
        net.run(20)
        assert all(is_old(net, name) for name in copies)
        assert net.leader() is None
        assert "x" in net.tags(leader)


def test_two_old_disks_that_went_on_by_themselves_never_cut_what_the_third_has() -> None:
    """Nobody could tell them. When the third comes back, there are two histories, and that is said."""
    with OurNet(1) as net:
        leader, copies = two_copied_before_x(net)
        for name in net.names:
            net.crash(name)
        for name, copy in copies.items():
            put_back(net, name, copy)
            net.start(name)
        wrong = net.elect(copies)  # nobody else is there who knew better
        assert "x" not in net.tags(wrong)
        net.start(leader)
        net.run(10)
        assert "x" in net.tags(leader)
        assert sorted(copies) == sorted(net.replicas[leader].status().other_histories)


@pytest.mark.parametrize("power", [False, True])
def test_what_was_remembered_outlives_the_end_of_all_nodes(power: bool) -> None:
    """A killed process loses a moment of its memory at most, a loss of power some seconds."""
    with OurNet(1) as net:
        _, old, _, copy = copied_before_x(net)
        net.run(12 if power else 2)
        for name in net.names:
            net.crash(name, power=power)
        start_all_with(net, old, copy)
        assert is_old(net, old)
        assert {} == net.halted
        assert net.leader() in net.others(old)
        assert "x" in net.tags(old)


def test_what_was_seen_of_a_node_that_ends_is_written_at_once() -> None:
    """From this moment on its disk may be changed, and the others may end as well."""
    with OurNet(1) as net:
        leader, old, other, copy = copied_before_x(net, after_s=6)
        net.crash(old, power=False)
        net.run(0.02)
        for name in (leader, other):
            net.crash(name, power=True)
        start_all_with(net, old, copy)
        assert is_old(net, old)


def test_an_orderly_stop_keeps_all_that_was_remembered() -> None:
    with OurNet(1) as net:
        _, old, _, copy = copied_before_x(net)
        net.run(0.1)
        for name in net.names:
            net.stop(name)
        start_all_with(net, old, copy)
        assert is_old(net, old)


def test_a_node_that_the_leader_did_not_reach_remembers_as_well() -> None:
    """Each node tells all its peers what its disk has, so that the leader may die and the others still know."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        old, other = net.others(leader)
        copy = net.copy_of_disk(old)
        net.wire.cut = {frozenset((leader, other))}
        net._settle()
        net.run(1)
        leader = next(name for name in net.names if net.leads(name)) if net.leader() is None else str(net.leader())
        committed(net, leader, "x")
        net.run(3)
        net.crash(old)
        put_back(net, old, copy)
        for name in net.others(other, old):
            net.crash(name)
        net.start(old)
        net.run(10)
        assert is_old(net, old)
        assert net.leader() is None


def test_a_tail_that_was_never_committed_is_cut_and_nobody_calls_the_disk_old() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.partition([leader], net.others(leader))
        net.propose_all(leader, "tail", 20)
        second = net.elect(net.others(leader))
        committed(net, second, "x")
        net.heal()
        assert net.until(lambda: "x" in net.tags(leader), limit_s=10)
        for name in net.names:
            net.crash(name, power=True)
        for name in net.names:
            net.start(name)
        net.run(5)
        assert not any(is_old(net, name) for name in net.names)
        assert net.leader() is not None


def test_a_damaged_memory_keeps_no_node_from_its_work() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        net.elect()
        net.run(3)
        for name in net.names:
            net.crash(name, power=False)
            net.directories[name].files.put(NAME, b"\x00" * 999)
        for name in net.names:
            net.start(name)
        assert net.elect()
        assert {} == net.halted


@pytest.mark.parametrize("accepted", ["not yet", "it says it again", "it sends a message"])
def test_what_a_peer_remembers_counts_when_it_has_accepted_this_node(accepted: str) -> None:
    """Before, it may find out that it has another history: what it remembers of this disk is of that one then. A node
    of a cloned cluster must not make the nodes of the first one call their disks old."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        here, peer = net.others(leader)
        net.partition([peer], [leader, here])
        mine = net.directories[here].identity.incarnation
        more = Remembered(here, mine, net.term(here), net.last_index(here) + 5, net.term(here))
        told = msgspec.structs.replace(net.replicas[peer].introduction(), remembered=[more])

        async def introduce() -> str | None:
            return net.replicas[here].opened(peer, told)

        assert None is net.wait_for(introduce())
        assert not is_old(net, here)
        if accepted == "it says it again":
            cast(SimTransport, net.replicas[here].transport).connection[peer] = 99
            assert "has forgotten what" in str(net.wait_for(introduce()))
        elif accepted == "it sends a message":
            net.deliver(peer, here, messages.Append(net.term(here), 1, 1, 0, []))
        assert is_old(net, here) == (accepted != "not yet")
