"""No node calls a sound disk old: neither after crashes, nor because another disk was in its place before."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from quorate.cluster.raft.membership.membership import Membership
from tests.simulation.history import play
from tests.simulation.schedule import Schedule, Step
from tests.simulation.test_old_disks import committed, is_old, put_back
from tests.stock.our_net import OurNet

STEPS = (
    Step(19, 3.697, "crash"),
    Step(20, 4.223, "crash"),
    Step(1001, 4.469, "add"),
    Step(24, 4.752, "crash"),
    Step(1002, 5.254, "replace"),
    Step(26, 5.321, "start"),
    Step(27, 5.962, "crash"),
    Step(28, 6.124, "crash-all"),
)


def test_where_no_old_copy_is_put_back_no_disk_is_called_old() -> None:
    """The smallest schedule that failed while a follower noted of a replaced disk what the one before it had."""
    schedule = Schedule(20008, "abc", 9.0, STEPS, late=0.02, repeated=0.01, network=3)
    with patch.object(Membership, "forget") as forget:
        verdict = play(schedule)
    assert [] == verdict.broken
    assert [] == forget.call_args_list


@pytest.mark.parametrize("emptied", [True, False])
def test_what_the_leader_of_a_former_disk_had_is_not_said_of_its_next_disk(emptied: bool) -> None:
    """The follower that is left alone elects nobody, so it goes on following a leader whose disk is another one now."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        last, other = net.others(leader)
        copy = net.copy_of_disk(leader)
        committed(net, leader, "x")
        net.run(1)
        net.crash(other)
        net.crash(leader)
        if emptied:
            net.wipe(leader)
        else:
            put_back(net, leader, copy)
        net.start(leader)
        net.run(2)
        next_disk = net.directories[leader].identity.incarnation
        assert emptied != is_old(net, leader)
        net.run(5)
        assert next_disk == net.directories[leader].identity.incarnation
        said = [known for known in net.running(last).memory.to_tell() if known.incarnation == next_disk]
        assert all(known.entry_index <= net.last_index(leader) for known in said)
        assert {} == net.halted


def test_a_leader_that_is_the_only_voter_may_lead_before_its_disk_knows_the_term() -> None:
    """It asks nobody for a ballot, so no learner knows from its leading that its own ballot is on its disk."""
    with OurNet(1) as net:
        net.start_all("ab")
        leader = net.elect()
        (old,) = net.others(leader)
        copy = net.copy_of_disk(old)
        committed(net, leader, "x")
        net.run(1)
        net.crash(old)
        put_back(net, old, copy)
        net.start(old)
        assert net.until(lambda: is_old(net, old), limit_s=5)
        net.wait_for(net.replicas[leader].change_members(lambda members: members.removing(old)))
        net.partition([leader], [old])
        net.wait_for(net.replicas[leader].change_members(lambda members: members.adding(old, f"{old}:1")))
        net.run(1)
        net.crash(leader, power=False)
        net.heal()
        for _ in range(2):
            net.start(leader)
            net.disks[leader]["quorate-disk"].hold()
            net.run(2)
            assert not is_old(net, leader)
            assert net.leads(leader)
            net.crash(leader, power=True)
        net.start(leader)
        assert net.until(lambda: net.replicas[old].status().voter, limit_s=20)
