"""Histories of a real state machine are clean, whatever the network did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.chaos.files import judged
from tests.unit.chaos.random_run import Mix, RandomRun

MIXES = {
    "of all kinds": Mix(),
    "with many lost": Mix(lost=0.4, resend=8),
    "with polls that close and open": Mix(change=4, named=0.7),
    "of one poll": Mix(polls=("p",), change=1),
    "of sessions": Mix(sessions=10, lost=0.2),
}


@pytest.mark.parametrize("mix", MIXES)
def test_a_right_history_is_clean(mix: str, tmp_path: Path) -> None:
    for seed in range(40):
        verdict = judged(tmp_path, RandomRun(seed, mix=MIXES[mix]).records)
        assert [] == [f"seed {seed}, {each.property}: {each.words}" for each in verdict.violations]


@pytest.mark.parametrize("window", [5, 10, 20])
def test_a_history_that_outruns_the_window_is_clean(window: int, tmp_path: Path) -> None:
    """An id that left the window counts again, also one without an answer that comes late."""
    outran = 0
    for seed in range(40):
        run = RandomRun(seed, operations=200, window=window, mix=Mix(resend=8, sessions=0, lost=0.2))
        verdict = judged(tmp_path, run.records)
        assert [] == [f"seed {seed}, {each.property}: {each.words}" for each in verdict.violations]
        outran += "resend-beyond-the-dedup-window" in verdict.reached
    assert outran > 20
