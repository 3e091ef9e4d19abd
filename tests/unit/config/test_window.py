"""Which dedup windows are said to be small."""

from __future__ import annotations

import pytest

from quorate.config import Config
from quorate.config.window import small_window


def test_the_defaults_are_fine() -> None:
    assert small_window(Config().votes.dedup_window, Config().http.timeout_ms) is None


@pytest.mark.parametrize(
    ("window", "timeout_ms", "said"),
    [
        (30_000, 10, None),
        (29_999, 10, "3 requests of 10,000 votes with ids push all other ids out"),
        (1, 10, "1 request of 10,000 votes with ids pushes"),
        (300_000, 5_000, None),
        (299_999, 5_000, "300,000 is enough for 30 such requests"),
        (1_000_000, 16_000, None),
        (1_000_000, 60_000, "tried again for 180 s (3 times http.timeout_ms)"),
    ],
)
def test_a_small_window_is_told_with_what_would_be_enough(window: int, timeout_ms: int, said: str | None) -> None:
    told = small_window(window, timeout_ms)
    assert told is None if said is None else said in str(told)
