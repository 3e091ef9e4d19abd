"""A member starts on an empty disk: it follows, and nothing that it has counts until it is put in the other's place."""

from __future__ import annotations

from tests.simulation.test_leaving import change
from tests.stock.our_net import OurNet


def test_a_node_says_that_its_empty_disk_does_not_count_until_the_log_means_it() -> None:
    """It has a leader and lacks no entry. If it were called ready, the next node would be restarted or emptied."""
    with OurNet(1) as net:
        net.start_all("abc")
        name = net.others(net.elect())[0]
        net.crash(name)
        net.wipe(name)
        net.start(name)
        assert net.until(lambda: net.replicas[name].leader is not None and net.replicas[name].members())
        words = net.replicas[name].status().forgotten
        assert words is not None
        assert f"quorate members replace {name}" in words
        assert "new" in words

        change(net, lambda members: members.removing(name))
        change(net, lambda members: members.adding(name, f"{name}:1"))
        assert net.until(lambda: net.replicas[name].status().voter)
        assert net.replicas[name].status().forgotten is None


def test_a_learner_is_told_nothing_of_another_disk() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        net.names.append("d")
        net.start("d")
        change(net, lambda members: members.adding("d", "d:1"))
        assert net.until(lambda: net.replicas["d"].leader is not None)
        assert net.replicas["d"].status().forgotten is None
