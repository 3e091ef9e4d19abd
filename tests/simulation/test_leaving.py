"""However a member leaves, its node learns of it and stops, or every member refuses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from quorate.cluster.raft.engine.replication import MEMBERS
from quorate.cluster.raft.members import REMOVED, Members, encode, founding
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.unsafe_recovery import InlineWriter
from quorate.errors import Removed
from tests.simulation.network import SimTransport
from tests.stock.net import DROP
from tests.stock.our_net import OurNet


def change(net: OurNet, make: Callable[[Members], Members], among: str = "abcde") -> None:
    net.wait_for(net.replicas[net.elect(among)].change_members(make))


def remove(net: OurNet, name: str, among: str = "abcde") -> None:
    change(net, lambda members: members.removing(name), among)


def join(net: OurNet, name: str) -> None:
    """A new node becomes a voter."""
    net.names.append(name)
    net.start(name)
    change(net, lambda members: members.adding(name, f"{name}:1"))
    assert net.until(lambda: net.replicas[name].status().voter)


def knows_it_left(net: OurNet, name: str) -> bool:
    return net.until(lambda: name in net.halted, limit_s=15) and isinstance(net.halted[name], Removed)


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_a_founder_that_is_removed_soon_after_the_forming_stops(names: str) -> None:
    with OurNet(1) as net:
        net.start_all(names)
        leaving = net.others(net.elect())[0]
        remove(net, leaving)
        assert knows_it_left(net, leaving)
        assert {leaving} == set(net.halted)


def test_a_founder_that_never_received_an_entry_stops_too() -> None:
    """It does not know any index at which it was a member. But the id of the cluster proves who founded it."""
    with OurNet(1) as net:
        net.names = list("abc")
        net.listen(lambda source, target, message: DROP if target == "c" else None)
        for name in "abc":
            net.start(name)
        remove(net, "c")
        assert knows_it_left(net, "c")


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_a_leader_hands_over_is_removed_and_stops(names: str) -> None:
    with OurNet(1) as net:
        net.start_all(names)
        leaving = net.elect()
        net.hand_over(leaving, net.others(leaving)[0])
        assert net.until(lambda: net.leader() not in (None, leaving))
        remove(net, leaving)
        assert knows_it_left(net, leaving)


def test_a_leader_that_was_cut_off_and_removed_meanwhile_stops() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leaving = net.elect()
        rest = net.others(leaving)
        net.partition([leaving], rest)
        change(net, lambda members: members.removing(leaving), "".join(rest))
        net.run(1)
        assert {} == net.halted
        net.heal()
        assert knows_it_left(net, leaving)


def test_a_node_that_does_not_reach_the_leader_is_told_by_another_member() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        leaving = net.others(leader)[0]
        net.partition([leaving], [leader])
        net.run(1)
        remove(net, leaving)
        assert knows_it_left(net, leaving)


@pytest.mark.parametrize("marked", [True, False], ids=["it-remembers-the-commit", "it-forgot-the-commit"])
def test_a_node_that_was_down_when_it_was_removed_stops_at_every_start(marked: bool) -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leaving = net.others(net.elect())[0]
        net.run(2 if marked else 0)  # an idle log writes down what is committed
        net.crash(leaving)
        remove(net, leaving)
        for _ in range(2):
            net.start(leaving)
            assert knows_it_left(net, leaving)
            net.crash(leaving)
            del net.halted[leaving]


def test_a_node_whose_log_has_its_removal_does_not_start() -> None:
    """It needs no peer to know it. Only what is committed counts."""
    with OurNet(1) as net:
        net.start_all("abc")
        leaving = net.others(net.elect())[0]
        net.run(2)
        net.crash(leaving, power=False)
        for committed in (False, True):
            write_removal(net, leaving, committed=committed)
            net.partition([leaving], net.others(leaving))
            if not committed:
                net.start(leaving)
                net.run(1)
                assert {} == net.halted
                net.crash(leaving, power=False)
        with pytest.raises(Removed, match="remove"):
            net.start(leaving)


def write_removal(net: OurNet, name: str, *, committed: bool) -> None:
    """Put the removal of the node, which is down, at the end of its log, or mark what is there as committed."""
    journal = Journal.open(
        net.directories[name].files, InlineWriter(), snapshot=None, on_failure=lambda error: None, may_create=False
    )
    _, last, term = journal[-1]
    if committed:
        journal.setRaftCommitIndex(last)
    else:
        rest = founding({peer: peer for peer in net.others(name)}, {})
        journal.add(MEMBERS + encode(rest.removing(name)), last + 1, term)
    journal.flush()
    journal.close()


def test_nodes_that_joined_after_a_removal_know_of_it() -> None:
    """None of those that saw the member leave is there any more."""
    with OurNet(1) as net:
        net.start_all("abc")
        net.partition(["c"], ["a", "b", "d", "e", "f"])
        net.names.remove("c")
        change(net, lambda members: members.removing("c"), "ab")
        for name in "def":
            join(net, name)
        for name in "ab":
            if net.elect("abdef") == name:
                net.hand_over(name, "d")
                assert net.until(lambda: net.leader("abdef") == "d")
            remove(net, name, "abdef")
            assert knows_it_left(net, name)
            net.crash(name)
        cast(SimTransport, net.replicas["c"].transport).wanted["d"] = ["d:1"]  # which listens where a member did, say
        net.heal()
        assert knows_it_left(net, "c")


def test_a_learner_that_is_removed_is_refused_by_all_and_follows_nobody() -> None:
    """It cannot tell that from not being added yet, so it waits, and is not ready."""
    with OurNet(1) as net:
        net.start_all("abc")
        net.names.append("d")
        # Nothing that it says arrives, so it never catches up.
        net.listen(lambda source, target, message: DROP if source == "d" else None)
        net.start("d")
        change(net, lambda members: members.adding("d", "d:1"))
        assert net.until(lambda: net.last_index("d") > 1)
        net.refused_by("d").clear()
        remove(net, "d")
        assert net.until(lambda: set(net.refused_by("d")) == set("abc"), limit_s=5)
        assert net.until(lambda: net.replicas["d"].leader is None)
        assert not net.replicas["d"].status().voter
        assert {} == net.halted


def test_a_disk_that_forgot_its_promises_and_is_removed_is_refused_by_all() -> None:
    """It counts as another disk than the one that was a member. So nobody can tell it that it was removed."""
    with OurNet(1) as net:
        net.start_all("abc")
        name = net.others(net.elect())[0]
        forgetting = net.running(name)
        net.wait_for(called(lambda: forgetting._forget("a peer", "it had more")))
        assert net.until(lambda: net.running(name).membership.disowned)
        net.refused_by(name).clear()
        remove(net, name)
        assert net.until(lambda: set(net.refused_by(name)) == set(net.others(name)), limit_s=5)
        assert net.until(lambda: net.replicas[name].leader is None)
        assert {} == net.halted


async def called(step: Callable[[], object]) -> None:
    step()


def test_the_disk_that_was_replaced_is_refused_also_where_the_leader_is_not_heard() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        replaced = net.others(leader)[0]
        net.run(2)
        net.crash(replaced)
        remove(net, replaced)
        change(net, lambda members: members.adding(replaced, f"{replaced}:1"))
        net.run(1)
        net.partition([replaced], [leader])
        net.start(replaced)
        assert knows_it_left(net, replaced)


def test_a_new_disk_under_the_name_of_a_removed_member_joins() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        name = net.others(net.elect())[0]
        net.crash(name)
        remove(net, name)
        net.wipe(name)
        net.start(name)
        change(net, lambda members: members.adding(name, f"{name}:1"))
        assert net.until(lambda: net.replicas[name].status().voter)
        net.run(2)
        net.crash(name)
        net.start(name)  # it reads a log in which a member of its name leaves
        assert net.until(lambda: net.replicas[name].status().voter)
        net.run(2)
        assert {} == net.halted


@pytest.mark.parametrize("names", ["abc", "abcde"])
def test_the_word_of_one_member_stops_nobody(names: str) -> None:
    """The others go on taking the node for a member, so it is one."""
    with OurNet(1) as net:
        net.start_all(names)
        leader = net.elect()
        liar = net.others(leader)[0]
        for _ in range(20):
            for name in net.others(liar):
                net.replicas[name].refused(liar, f"{name} was {REMOVED}")
            net.run(0.5)
        assert {} == net.halted
        assert net.elect() in names


def test_the_word_of_one_member_stops_nobody_who_has_just_begun_to_meet_the_others() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        liar, name = net.others(leader)
        net.crash(name)
        net.partition([name], [leader])
        net.start(name)
        net.replicas[name].refused(liar, f"{name} was {REMOVED}")
        net.run(1)
        net.heal()
        net.run(10)
        assert {} == net.halted


def test_a_member_that_lags_is_not_told_that_it_was_removed() -> None:
    """Its peers know a later membership, and it is in that one, too."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        lagging = net.others(leader)[0]
        net.crash(lagging)
        join(net, "d")
        remove(net, net.others(leader, lagging, "d")[0])
        net.start(lagging)
        assert net.until(lambda: net.last_index(lagging) == net.last_index(leader))
        assert lagging not in net.halted


def test_an_older_node_whose_removal_raises_the_level_is_told_of_the_removal() -> None:
    with OurNet(1) as net:
        net.levels["c"] = 0
        net.start_all("abc")
        if net.elect() == "c":
            net.hand_over("c", "a")
            assert net.until(lambda: net.leader() == "a")
        remove(net, "c")
        assert knows_it_left(net, "c")
        assert net.until(lambda: net.replicas["a"].state.level > 0)


def test_two_members_that_were_cut_off_together_and_removed_stop_though_they_know_each_other_as_members() -> None:
    """Neither knows that the other one left. But most of the voters that each knows say that it did itself."""
    with OurNet(1) as net:
        net.start_all("abcde")
        leader = net.elect()
        first, second, *rest = net.others(leader)
        net.partition([first, second], [leader, *rest])
        for name in (first, second):
            assert net.until(lambda: net.leader(among=[leader, *rest]) is not None)
            remove(net, name, "".join([leader, *rest]))
        net.heal()
        assert knows_it_left(net, first)
        assert knows_it_left(net, second)
        assert {first, second} == set(net.halted)
