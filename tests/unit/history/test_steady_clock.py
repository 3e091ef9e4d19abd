"""Times of a history survive a clock that is set."""

from __future__ import annotations

from quorate.history.steady_clock import LASTS_S, SLACK_S, SteadyClock


class Clocks:
    wall_s, elapsed_s = 1_000_000.0, 50.0

    def __init__(self) -> None:
        self.steady = SteadyClock(lambda: self.wall_s, lambda: self.elapsed_s)

    def after(self, seconds: float, *, set_by: float = 0.0) -> float:
        self.elapsed_s += seconds
        self.wall_s += seconds + set_by
        return self.steady()


def test_a_clock_that_nobody_sets_is_shown() -> None:
    clocks = Clocks()
    assert 1_000_001.0 == clocks.after(1.0)
    assert 1_003_601.0 == clocks.after(3_600.0), "a long pause is no jump"


def test_small_differences_are_taken_over_but_time_does_not_go_back() -> None:
    clocks = Clocks()
    assert 1_000_002.0 == clocks.after(1.0, set_by=1.0)
    assert 1_000_002.0 == clocks.after(0.5, set_by=-SLACK_S)
    assert 1_000_003.5 == clocks.after(3.0)


def test_a_jump_that_is_taken_back_is_never_seen() -> None:
    clocks = Clocks()
    assert 1_000_001.0 == clocks.after(1.0, set_by=-86_400.0)
    assert 1_000_002.0 == clocks.after(1.0)
    assert 1_000_003.0 == clocks.after(1.0, set_by=86_400.0)
    assert 1_000_013.0 == clocks.after(10.0, set_by=1e9), "the next jump is another one"


def test_a_jump_that_lasts_is_believed() -> None:
    for jump in (-3_600.0, 3_600.0):
        clocks = Clocks()
        assert 1_000_001.0 == clocks.after(1.0, set_by=jump)
        assert 1_000_001.0 + LASTS_S + jump == clocks.after(LASTS_S)
        assert 1_000_002.0 + LASTS_S + jump == clocks.after(1.0)
