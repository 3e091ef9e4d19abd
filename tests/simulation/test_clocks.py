"""Polls close in time, whatever single clocks say and whoever leads."""

from __future__ import annotations

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.timed_close import TimedClose
from tests.stock.our_net import EPOCH_S, OurNet

HOUR_S = 3_600.0


def create_lunch(net: OurNet, leader: str, closes_in_s: float) -> None:
    closes_ms = int((EPOCH_S + net.now_s + closes_in_s) * 1000)
    poll = CreatePoll("lunch", "", ["soup", "cake"], "open", closes_ms, False)
    result, _ = net.wait_for(net.submitters[leader].create_poll(poll, timeout_s=10))
    assert "created" == result.what, result


def lunch(net: OurNet, name: str) -> str | None:
    poll = net.replicas[name].state.poll("lunch")
    return None if poll is None else poll.state


def lead(net: OurNet, name: str) -> None:
    """Hand leadership to this node."""
    net.hand_over(net.elect(), name)
    assert net.until(lambda: net.replicas[name].is_leader)


def test_a_follower_that_is_started_an_hour_ahead_and_leads_closes_no_poll() -> None:
    """The cluster is quiet, so no entry tells it the time before it leads."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        create_lunch(net, leader, HOUR_S / 2)
        wrong = net.others(leader)[0]
        net.run(1)
        net.crash(wrong)
        net.clock_ahead_s[wrong] = HOUR_S
        net.start(wrong)
        net.run(1)
        lead(net, wrong)
        net.ask(wrong, "x")
        net.run(1)
        assert {"open"} == {lunch(net, name) for name in "abc"}
        offsets_ms = net.replicas[wrong].status().clock_offsets_ms
        assert HOUR_S * 1000 - 50 < offsets_ms[wrong] < HOUR_S * 1000 + 50
        assert all(-50 < offset_ms < 50 for name, offset_ms in offsets_ms.items() if name != wrong)


def test_a_leader_that_is_an_hour_behind_closes_a_poll_in_time() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.clock_ahead_s[leader] = -HOUR_S
        create_lunch(net, leader, 5)
        net.run(3)
        net.ask(leader, "x")
        net.run(0.5)
        assert "open" == lunch(net, leader)
        net.run(2)
        net.ask(leader, "y")
        net.run(0.5)
        assert {"closed"} == {lunch(net, name) for name in "abc"}


def test_small_jumps_of_one_clock_after_the_other_do_not_add_up() -> None:
    with OurNet(1) as net:
        net.start_all("abcde")
        create_lunch(net, net.elect(), 90)
        for step, name in enumerate("ab", start=1):
            net.clock_ahead_s[name] = 50.0 * step
            if not net.replicas[name].is_leader:
                lead(net, name)
            net.ask(name, f"x{step}")
            net.run(1)
        assert {"open"} == {lunch(net, name) for name in "abcde"}


def test_a_due_poll_closes_in_a_quiet_cluster() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        create_lunch(net, leader, 2)

        async def start() -> TimedClose:
            timed = TimedClose(net.replicas[leader])
            timed.start()
            return timed

        timed = net.wait_for(start())
        net.run(1)
        assert "open" == lunch(net, leader)
        assert net.until(lambda: {"closed"} == {lunch(net, name) for name in "abc"}, limit_s=5)
        timed.stop()
