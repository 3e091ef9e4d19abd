"""The way to a leader that is not heard changes: over another peer, to the direct link again, over a new member."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from quorate.cluster.admin import Admin
from quorate.errors import OutcomeUnknown
from quorate.vote import Vote
from tests.simulation.cut_links import ELECTION_S, bridge, cast, cut, net_of, reached_over, relayed
from tests.stock.our_net import POLL


def test_votes_are_taken_while_the_ways_change() -> None:
    """The relay is cut off, then the direct link is back: each time the node finds the way that there is."""
    with net_of("abcde") as net:
        leader, via, follower = relayed(net)
        cut(net, [(leader, follower), (via, follower)])
        assert reached_over(net, follower, net.others(leader, follower, via))
        assert 1 == cast(net, follower, "over another").applied
        cut(net, [])
        assert net.until(lambda: net.replicas[follower].leader_via is None)
        assert 1 == cast(net, follower, "direct").applied


def test_calls_over_a_relay_that_falls_silent_hinder_nobody_and_are_unknown_soon() -> None:
    """The cut moves: the leader is heard again, and the relay is not. What the relay has got may never be answered."""
    with net_of("abc") as net:
        leader, between, follower = bridge(net)
        assert reached_over(net, follower, [between])

        async def two_batches() -> list[asyncio.Future[Any]]:
            """A light one and a bulk one: a second light one would gather first, and go the new way."""
            sent = list[asyncio.Future[Any]]()
            for tag, many in (("x", 1), ("y", 200)):
                votes = [Vote(tag, id=f"{tag}{number}", poll=POLL) for number in range(many)]
                sent.append(asyncio.ensure_future(net.submitters[follower].cast(votes, timeout_s=30)))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            cut(net, [(between, follower)])
            return sent

        sent = net.wait_for(two_batches())
        assert net.until(lambda: net.replicas[follower].leader_via is None, limit_s=5)
        assert leader == net.replicas[follower].leader
        assert 1 == cast(net, follower, "new", timeout_s=1.0).applied
        heard_s = net.now_s

        async def told() -> list[Any]:
            return await asyncio.gather(*sent, return_exceptions=True)

        assert all(isinstance(each, OutcomeUnknown) for each in net.wait_for(told()))
        assert net.now_s - heard_s < ELECTION_S


def test_a_member_that_was_added_since_the_cut_may_be_the_way() -> None:
    """The log of the node that is cut off does not name it."""
    with net_of("abc") as net:
        leader, between, follower = bridge(net)
        assert reached_over(net, follower, [between])
        net.start("d")
        operators = {name: Admin(replica) for name, replica in net.replicas.items()}
        net.wait_for(net.replicas[leader].change_members(lambda members: members.adding("d", "d:1")))
        assert net.until(lambda: net.replicas["d"].state.level >= 1, limit_s=10)
        cut(net, [(follower, leader), (follower, between)])
        assert reached_over(net, follower, ["d"])
        assert "d" not in net.replicas[follower].status().members
        assert 1 == cast(net, follower, "x").applied
        assert list("abcd") == sorted(member["id"] for member in net.wait_for(operators[follower].members()))


def test_each_change_of_the_way_has_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with net_of("abc") as net:
        leader, between, follower = bridge(net)
        caplog.clear()
        assert reached_over(net, follower, [between])
        net.run(10 * ELECTION_S)
        cut(net, [])
        assert net.until(lambda: net.replicas[follower].leader_via is None)
        net.run(1)
        lines = [record.getMessage() for record in caplog.records if f"{leader} is" in record.getMessage()]
    how = [line.partition(" and leads term")[0] for line in lines]
    assert [f"{leader} is not heard, but reached over {between},", f"{leader} is heard again"] == how
