"""Cuts that leave the connections open: messages are lost, and nobody is told."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import pytest

from tests.stock.net import DROP
from tests.stock.our_net import OurNet

ELECTION_S = 0.4


def cut_silently(net: OurNet, some: Collection[str]) -> None:
    """Nothing passes between `some` and the others, in either direction: no message and no call."""
    others = net.others(*some)
    net.wire.loss = {way: 1.0 for a in some for b in others for way in ((a, b), (b, a))}


def test_a_follower_behind_a_cut_with_the_old_leader_believes_in_nobody() -> None:
    with OurNet(1, election_s=ELECTION_S) as net:
        net.start_all("abcde")
        old = net.elect()
        follower, *others = net.others(old)
        cut_silently(net, [old, follower])
        assert old == net.replicas[follower].leader
        net.run(4 * ELECTION_S)
        assert [None, None] == [net.replicas[name].leader for name in (old, follower)]
        assert net.until(lambda: any(net.leads(name) for name in others))
        net.wire.loss = {}
        assert net.until(lambda: len({net.replicas[name].leader for name in "abcde"} - {None}) == 1, limit_s=10)
        net.run(1)
        new = net.leader()
        assert {new} == {net.replicas[name].leader for name in "abcde"}


def test_a_healthy_leader_is_believed_in_all_the_time() -> None:
    with OurNet(1, election_s=ELECTION_S) as net:
        net.start_all("abc")
        leader = net.elect()
        net.run(1)
        for _ in range(500):
            net.run(0.02)
            assert {leader} == {net.replicas[name].leader for name in "abc"}
        assert [1, 1, 1] == [net.replicas[name].status().leader_changes for name in "abc"]


@pytest.mark.parametrize(
    ("cause", "reason"),
    [("majority", "no majority answered for 0.4 s"), ("disk", "its disk has taken nothing for 2 s")],
)
def test_a_leader_says_why_it_leads_no_more(cause: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with OurNet(1, election_s=ELECTION_S) as net:
        net.start_all("abc")
        old = net.elect()
        if cause == "majority":
            cut_silently(net, [old])
        else:
            net.disks[old]["quorate-disk"].hold()
            net.propose(old, "x")
        assert net.until(lambda: not net.replicas[old].is_leader, limit_s=20)
    assert f"this node leads no more: {reason}" in [record.getMessage() for record in caplog.records]


def test_a_leader_that_hands_over_and_its_follower_say_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with OurNet(1, election_s=ELECTION_S) as net:
        net.start_all("abc")
        old = net.elect()
        term = net.term(old)
        assert net.wait_for(net.replicas[old].transfer_leadership())
        net.run(1)
        new = net.leader()
    lines = [record.getMessage() for record in caplog.records]
    assert f"this node leads no more: it handed leadership over; term {term + 1} began" in lines
    assert any(line.startswith(f"{new} leads term {term + 1}") for line in lines)


def test_status_tells_how_far_a_follower_is_behind() -> None:
    with OurNet(1, election_s=ELECTION_S) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]

        def only_heartbeats(source: str, target: str, message: Any) -> float | str | None:
            return DROP if target == follower and net.kind(message) == "append" else None

        net.wire.hook = only_heartbeats
        net.propose_all(leader, "x", 7)
        net.run(2)
        status = net.replicas[follower].status()
        assert status.lag_entries >= 7
        assert status.lag_ms > 1_000
        assert follower != leader == status.leader, "it hears the leader all the time"
        net.wire.hook = None
        assert net.until(lambda: net.replicas[follower].status().lag_entries == 0, limit_s=10)
        assert 0 == net.replicas[follower].status().lag_ms
