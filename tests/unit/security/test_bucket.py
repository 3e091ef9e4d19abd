"""A bucket of votes: what a rate lets in, and when it lets in the next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.security.bucket import Bucket


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("rate", "burst", "at_once"), [(100, 0, 100), (2, 0, 10), (2, 3, 3), (0.5, 1, 1)])
def test_after_a_quiet_time_a_burst_is_let_in_and_then_the_rate(rate: float, burst: float, at_once: int) -> None:
    clock = Clock()
    bucket = Bucket(rate, burst, clock)
    clock.now_s += 3_600
    assert [0.0] * at_once == [bucket.enter() for _ in range(at_once)]
    assert pytest.approx(1 / rate) == bucket.enter()
    clock.now_s += 0.5 / rate
    assert pytest.approx(0.5 / rate) == bucket.enter()
    clock.now_s += 0.51 / rate
    assert (0.0, True) == (bucket.enter(), bucket.enter() > 0)


def test_one_request_may_overdraw_and_the_next_waits_until_that_is_made_up() -> None:
    clock = Clock()
    bucket = Bucket(10, 0, clock)
    assert (0.0, 0.0) == (bucket.enter(), bucket.take(99))
    assert pytest.approx(9.1) == bucket.enter()
    clock.now_s += 9.2
    assert 0.0 == bucket.enter()


def test_a_request_of_any_size_is_let_in_at_the_smallest_rate() -> None:
    bucket = Bucket(0.001, 1, Clock())
    assert (0.0, 0.0) == (bucket.enter(), bucket.take(9_999))


def test_of_requests_that_were_let_in_together_one_overdraws() -> None:
    bucket = Bucket(10, 3, Clock())
    assert [0.0] * 3 == [bucket.enter() for _ in range(3)]
    assert [True, False, False] == [bucket.take(9_999) == 0 for _ in range(3)]


@given(
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=60),
    rate=st.floats(0.1, 50),
    burst=st.integers(1, 60),
)
def test_no_more_is_ever_let_in_than_the_rate_the_burst_and_one_request(
    steps: list[tuple[float, int]], rate: float, burst: int
) -> None:
    clock, let_in = Clock(), 0
    bucket, began_s = Bucket(rate, burst, clock), clock.now_s
    for pause_s, votes in steps:
        clock.now_s += pause_s
        if not (wait_s := bucket.enter()) and (votes == 1 or not bucket.take(votes - 1)):
            let_in += votes
        assert let_in <= burst + rate * (clock.now_s - began_s) + 50
        assert wait_s >= 0
