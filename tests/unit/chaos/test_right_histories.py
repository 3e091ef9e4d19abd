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
