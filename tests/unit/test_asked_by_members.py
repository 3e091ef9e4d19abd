"""What a member may ask of the leader in the name of operators: as an operator does, and not without end."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest

from quorate.cluster import admin as admin_module
from quorate.cluster.admin import Admin, Change
from quorate.cluster.raft.members import MEMBERS_MAX, Members
from quorate.cluster.raft.replica import RaftReplica
from quorate.errors import Conflict, Invalid, Overloaded
from tests.support.on_loop import on_loop
from tests.unit.submit.test_leader_call import MembersReplica

encode = msgspec.msgpack.encode
WRONG = {
    "a long name": Change("add", "n" * 100_000, "h:9"),
    "a name with a line break": Change("add", "n9\n", "h:9"),
    "no address": Change("add", "n9", "nowhere"),
    "a long address": Change("add", "n9", "h" * 100_000 + ":9"),
    "an address from before": Change("replace", "n9", None, "no address"),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
@on_loop
async def test_the_leader_checks_what_a_member_should_have_checked(change: Change) -> None:
    """Whatever stands in a membership entry is written again with each change, and sent with each snapshot."""
    leader = MembersReplica("n1")
    Admin(cast(RaftReplica, leader))
    with pytest.raises(Invalid):
        await leader.handlers["members"]("n2", encode(change))
    assert 3 == len(leader.listed.members)


@on_loop
async def test_a_member_may_ask_for_so_many_changes_and_hand_overs_at_once_and_others_still_may() -> None:
    leader = MembersReplica("n1")
    leader.state.level = 1
    Admin(cast(RaftReplica, leader))
    for kind, body, most in (
        ("transfer", b"", admin_module.TRANSFERS),
        ("members", encode(Change("update", "n2", "h:2")), admin_module.CHANGES),
    ):
        for _ in range(most):
            await leader.handlers[kind]("n2", body)
        with pytest.raises(Overloaded, match="n2 asked"):
            await leader.handlers[kind]("n2", body)
        await leader.handlers[kind]("n3", body)


def test_a_cluster_has_so_many_members_at_most() -> None:
    members = Members(())
    for number in range(MEMBERS_MAX):
        members = members.adding(f"n{number}", f"h:{number}")
    with pytest.raises(Conflict, match="members"):
        members.adding("one more", "h:9999")
