"""Old copies of disks whose log does not say that their node is a voter, and disks that are taken in again."""

from __future__ import annotations

from tests.simulation.history import play
from tests.simulation.schedule import Schedule, Step
from tests.simulation.test_old_disks import committed, is_old, no_entries, restart_with
from tests.stock.our_net import OurNet


def test_a_copy_from_when_its_node_was_a_learner_is_called_old_before_it_is_sent_what_it_lacks() -> None:
    """Its log names the node without saying which disk is meant (seed 20263 of the simulation)."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.names.append("d")
        net.start("d")
        net.wait_for(net.replicas[leader].change_members(lambda members: members.adding("d", "d")))
        assert net.until(lambda: "d" in {member.id for member in net.replicas["d"].members()}, limit_s=20)
        assert net.until(lambda: net.journal("d").synced_index == net.last_index("d"), limit_s=1)
        assert [""] == [member.incarnation for member in net.replicas["d"].members() if member.id == "d"]
        copy = net.copy_of_disk("d")
        assert net.until(lambda: net.replicas["d"].status().voter, limit_s=20)
        committed(net, leader, "x")
        net.run(2)
        net.listen(no_entries)
        restart_with(net, "d", copy)
        assert net.until(lambda: is_old(net, "d"), limit_s=1)
        assert {} == net.halted


def test_an_entry_that_is_cut_makes_no_member_of_a_disk_that_is_taken_in_again() -> None:
    """The node dies with an entry that makes it a voter. Another leader cuts it, and goes on without the node."""
    with OurNet(1) as net:
        net.start_all("abcde")
        leader = net.elect()
        old, *rest = net.others(leader)
        copy = net.copy_of_disk(old)
        committed(net, leader, "x")
        net.run(2)
        restart_with(net, old, copy)
        assert net.until(lambda: is_old(net, old), limit_s=5)
        net.wait_for(net.replicas[leader].change_members(lambda members: members.removing(old)))
        net.wait_for(net.replicas[leader].change_members(lambda members: members.adding(old, f"{old}:1")))
        net.listen(lambda source, target, message: no_entries(source, target, message) if target in rest else None)
        assert net.until(lambda: net.replicas[old].status().voter, limit_s=20)
        net.run(0.1)
        made_voter_at = net.last_index(old)
        for name in (leader, old):
            net.crash(name, power=False)
        net.listen(None)
        second = net.elect(rest)
        for tag in "yz":
            committed(net, second, tag)
        net.wait_for(net.replicas[second].change_members(lambda members: members.adding("f", "f:1")))
        assert net.last_index(second) > made_voter_at
        net.start(old)
        assert net.until(lambda: "z" in net.tags(old), limit_s=20)
        assert net.until(lambda: net.replicas[old].status().voter, limit_s=20)
        assert {} == net.halted


def test_a_copy_from_before_its_node_was_a_member_is_found_out_in_a_history() -> None:
    """Its log does not name the node, and it is old all the same. The smallest schedule that failed: the copy is of the
    disk that replaces another one, made before its node is taken in."""
    steps = ((2, 0.918, "partition"), (1000, 1.0, "replace"), (1001, 2.0, "old disk"), (8, 2.029, "copy"))
    verdict = play(Schedule(20027, "abc", 2.5, tuple(Step(*each) for each in steps)))
    assert [] == verdict.broken
    assert 1 == verdict.put_back == verdict.found_out
