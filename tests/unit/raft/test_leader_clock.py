"""What one wrong clock can change about the cluster's time."""

from __future__ import annotations

import logging

import pytest

from quorate.cluster.raft.leader_clock import JUMP_MAX_MS, LeaderClock

NOON_MS = 1_000_000_000_000


class Clocks:
    """A wall clock that somebody sets, and a monotonic one that only goes on."""

    def __init__(self) -> None:
        self.wall_ms, self.monotonic_ms = NOON_MS, 5_000
        self.leader = LeaderClock(lambda: self.wall_ms / 1000, lambda: self.monotonic_ms / 1000)

    def go_on(self, ms: int) -> None:
        self.wall_ms += ms
        self.monotonic_ms += ms


def test_a_clock_that_goes_on_is_believed() -> None:
    clocks = Clocks()
    clocks.go_on(100_000)
    assert (NOON_MS + 100_000, 0) == (clocks.leader.now_ms(), clocks.leader.refused)


def test_a_jump_ahead_is_refused_and_time_goes_on_without_it(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    clocks.wall_ms += JUMP_MAX_MS + 1
    clocks.go_on(1_000)
    assert (NOON_MS + 1_000, 1) == (clocks.leader.now_ms(), clocks.leader.refused)
    assert "ahead of the cluster's time" in caplog.text


def test_a_node_whose_clock_is_far_ahead_goes_on_with_the_time_of_the_leader_before() -> None:
    clocks = Clocks()
    clocks.leader.observe(NOON_MS - 600_000, live=True)
    clocks.go_on(1_000)
    assert NOON_MS - 599_000 == clocks.leader.now_ms()


def test_an_old_entry_does_not_tell_the_time() -> None:
    clocks = Clocks()
    clocks.leader.observe(NOON_MS - 600_000, live=False)
    assert NOON_MS == clocks.leader.now_ms()


def test_a_clock_that_is_behind_is_used_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Polls close late then. If the last leader's time were kept, a clock that was ahead would win for ever."""
    clocks = Clocks()
    clocks.leader.observe(NOON_MS + 600_000, live=True)
    for _ in range(100):
        assert NOON_MS == clocks.leader.now_ms()
    assert all(record.levelno == logging.ERROR for record in caplog.records)
    assert 7 == caplog.text.count("600.0 s behind the cluster's time"), "of a hundred entries: 1, 2, 4, ... 64"


def test_a_clock_that_is_a_little_behind_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    clocks.leader.observe(NOON_MS + JUMP_MAX_MS, live=True)
    assert (NOON_MS, "") == (clocks.leader.now_ms(), caplog.text)
