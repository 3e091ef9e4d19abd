"""The feature level rises when every member can follow, never falls, and keeps older programs out from then on.

`levels` of a net says which nodes run an older program. What a gated command does is shown with one of the commands
that every version knows: it is declared to need level 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import Done, Refused, SetDedupWindow
from quorate.cluster.raft.engine.replication import LEVEL
from quorate.cluster.raft.members import Members
from quorate.errors import Halted, NeedsLevel
from tests.stock.our_net import OurNet


def levels(net: OurNet) -> set[int]:
    return {replica.state.level for replica in net.replicas.values()}


def upgrade(net: OurNet, name: str) -> None:
    net.crash(name, power=False)
    net.levels.pop(name, None)
    net.start(name)


def change(net: OurNet, make: Callable[[Members], Members]) -> None:
    net.wait_for(net.replicas[net.elect()].change_members(make))


def propose(net: OurNet, command: entry.Command) -> Any:
    replica = net.replicas[net.elect()]

    async def propose() -> Any:
        applied = await replica.propose(entry.encode_entry(replica.now_ms(), [entry.encode_batch([command])]))
        return applied.results[0][0]

    return net.wait_for(propose())


def test_a_new_cluster_rises_at_once_and_all_nodes_agree() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        assert net.until(lambda: levels(net) == {entry.FEATURE_LEVEL})
        net.propose_all(net.elect(), "x", 3)
        assert net.until(lambda: len({replica.state.version for replica in net.replicas.values()}) == 1)
        assert 1 == len({replica.state.digest() for replica in net.replicas.values()})
        assert dict.fromkeys("abc", entry.FEATURE_LEVEL) == net.replicas["a"].status().feature_levels


def test_the_level_waits_for_the_oldest_member_and_rises_when_it_is_upgraded() -> None:
    with OurNet(1) as net:
        net.levels["b"] = 0
        net.start_all("abc")
        net.run(3)
        assert {0} == levels(net)
        with pytest.raises(NeedsLevel, match=r"^it needs all nodes to run 0\.2\.0 or newer; b runs 0\.1\.0$"):
            net.replicas["a"].require_level(1, "it")
        upgrade(net, "b")
        assert net.until(lambda: levels(net) == {1})
        for replica in net.replicas.values():
            replica.require_level(1, "it")


def test_a_member_that_is_down_is_waited_for() -> None:
    """Nobody knows with which program it comes back."""
    with OurNet(1) as net:
        net.levels.update(a=0, b=0, c=0)
        net.start_all("abc")
        away = net.others(net.elect())[0]
        net.crash(away)
        for name in sorted(set("abc") - {away}):
            upgrade(net, name)
            assert net.until(lambda: net.leader() is not None)
        net.run(3)
        assert {0} == levels(net)
        with pytest.raises(NeedsLevel, match=f"{away} is not connected"):
            net.replicas[net.elect()].require_level(1, "it")
        net.start(away)  # still the old program
        net.run(3)
        assert {0} == levels(net)
        upgrade(net, away)
        assert net.until(lambda: levels(net) == {1})


def test_a_learner_counts_too_and_an_older_one_that_comes_later_is_refused_in_words() -> None:
    with OurNet(1) as net:
        net.levels["d"] = 0
        net.start_all("abc")
        assert net.until(lambda: levels(net) == {1})
        net.names.append("d")
        net.start("d")
        change(net, lambda members: members.adding("d", "d:1"))
        needs = "d runs 0.1.0 (feature level 0), and this cluster needs 0.2.0 or newer (level 1)"
        assert net.until(lambda: any(needs in why for why in net.refused_by("d").values()))
        net.run(2)
        assert (1, 0) == (net.replicas["a"].state.level, net.replicas["d"].state.level)
        upgrade(net, "d")
        assert net.until(lambda: levels(net) == {1} and net.replicas["d"].status().voter)


def test_a_node_that_goes_back_after_the_rise_does_not_start() -> None:
    with OurNet(1, snapshot_bytes=2_000) as net:
        net.start_all("abc")
        assert net.until(lambda: levels(net) == {1})
        leader = net.elect()
        back = net.others(leader)[0]
        net.propose_all(leader, "x", 200)
        assert net.until(lambda: net.running(back).compaction.newest is not None)
        net.crash(back, power=False)
        net.levels[back] = 0
        with pytest.raises(Halted, match=f"run a newer version on {back}"):
            net.start(back)


def test_a_node_that_goes_back_stops_at_the_entry_in_its_log() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        assert net.until(lambda: levels(net) == {1})
        back = net.others(net.elect())[0]
        net.run(1)  # it knows what is committed
        net.crash(back, power=False)
        net.levels[back] = 0
        net.start(back)
        assert net.until(lambda: back in net.halted)
        assert f"run a newer version on {back}" in str(net.halted[back])


def test_a_rise_that_a_leader_did_not_finish_is_finished_by_the_next_one() -> None:
    with OurNet(1) as net:
        net.levels["a"] = 0
        net.start_all("abc")
        upgrade(net, "a")
        first = net.elect()
        assert net.until(lambda: entry_kinds(net, first).count(LEVEL) > 0 or levels(net) == {1})
        net.crash(first)
        assert net.until(lambda: levels(net) == {1}, limit_s=10)
        net.start(first)
        assert net.until(lambda: levels(net) == {1})
        assert {} == net.halted


def entry_kinds(net: OurNet, name: str) -> list[bytes]:
    journal = net.journal(name)
    return [journal[at][0][:1] for at in range(len(journal))]


def test_a_gated_command_is_refused_by_all_nodes_alike_until_the_rise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(entry.LEVEL_NEEDED, SetDedupWindow, 1)
    with OurNet(1) as net:
        net.levels["b"] = 0
        net.start_all("abc")
        assert isinstance(propose(net, SetDedupWindow(77)), Refused)
        upgrade(net, "b")
        assert net.until(lambda: levels(net) == {1})
        net.elect()
        assert Done(77) == propose(net, SetDedupWindow(77))
        assert net.until(lambda: len({replica.state.digest() for replica in net.replicas.values()}) == 1)


def test_the_level_crosses_in_a_snapshot() -> None:
    with OurNet(1, snapshot_bytes=2_000, keep_bytes=500) as net:
        net.start_all("abc")
        assert net.until(lambda: levels(net) == {1})
        leader = net.elect()
        away = net.others(leader)[0]
        net.crash(away)
        net.wipe(away)
        net.propose_all(leader, "x", 300)
        assert net.until(lambda: net.journal(leader).first_index > 10)
        net.start(away)
        assert net.until(lambda: net.replicas[away].status().snapshots_received > 0)
        assert net.until(lambda: levels(net) == {1})
