"""A node comes back, and all members that its log names have left meanwhile. Its settings name those that took over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from quorate.errors import Removed
from tests.simulation.network import SimTransport
from tests.simulation.test_leaving import join, knows_it_left, remove
from tests.stock.our_net import OurNet


@pytest.fixture
def net() -> Iterator[OurNet]:
    """The nodes a, b and c, of which c is down and d and e have joined. See `take_over`."""
    with OurNet(1) as net:
        net.start_all("abc")
        net.elect()
        net.run(2)
        net.crash("c", power=False)
        net.names.remove("c")
        for name in "de":
            join(net, name)
        yield net


def take_over(net: OurNet) -> None:
    """Of those that c knows, a and b leave."""
    for name in "ab":
        if net.elect() == name:
            net.hand_over(name, "d")
            assert net.until(lambda: net.leader() == "d")
        remove(net, name)
        assert knows_it_left(net, name)
        net.crash(name)
        net.names.remove(name)
    net.halted.clear()


def come_back(net: OurNet, *, at: str) -> None:
    net.addresses["c"] = at
    net.peers["c"] = {"c": at, "d": "d:1", "e": "e:1"}
    net.start("c")


def test_a_member_that_has_moved_finds_them_by_its_settings(net: OurNet) -> None:
    """They look for it where it was."""
    take_over(net)
    come_back(net, at="c:2")
    assert net.until(lambda: net.replicas["c"].leader in ("d", "e"), limit_s=20)
    assert net.until(lambda: all("c:2" in [m.raft for m in net.replicas[x].members()] for x in "cde"), limit_s=20)


def test_a_node_that_was_removed_learns_it_from_them(net: OurNet) -> None:
    remove(net, "c")
    take_over(net)
    come_back(net, at="c:1")
    assert net.until(lambda: "c" in net.halted, limit_s=20)
    assert isinstance(net.halted["c"], Removed)


def test_a_node_that_has_a_leader_looks_for_members_only(net: OurNet) -> None:
    """Settings may still name a node that was removed. Without a leader they may be what is right."""
    net.peers["a"] = {**{name: net.address(name) for name in net.names}, "z": "z:1"}
    net.crash("a", power=False)
    net.start("a")
    assert net.until(lambda: net.replicas["a"].leader is not None, limit_s=20)
    for _ in range(2):
        net.run(5 * net.election_s)
        assert {"b", "c", "d", "e"} == set(cast(SimTransport, net.replicas["a"].transport).wanted)
        net.partition(["a"], ["b", "d", "e"])
        assert net.until(lambda: "z" in cast(SimTransport, net.replicas["a"].transport).wanted, limit_s=20)
        net.heal()
        assert net.until(lambda: net.replicas["a"].leader is not None, limit_s=20)
