"""Histories of a real state machine are clean, whatever the network did."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.chaos.history import End, HistoryOperation, Read
from tests.unit.chaos.files import judged
from tests.unit.chaos.random_run import Mix, RandomRun

MIXES = {
    "of all kinds": Mix(),
    "with many lost": Mix(lost=0.4, resend=8),
    "with polls that close and open": Mix(change=4, named=0.7),
    "of one poll": Mix(polls=("p",), change=1),
    "of sessions": Mix(sessions=10, lost=0.2),
    "of Redis clients": Mix(redis=1, bare=0.5, lost=0.3, resend=8, change=1),
}


@pytest.mark.parametrize("mix", MIXES)
def test_a_right_history_is_clean(mix: str, tmp_path: Path) -> None:
    for seed in range(40):
        verdict = judged(tmp_path, RandomRun(seed, mix=MIXES[mix]).records)
        assert [] == [f"seed {seed}, {each.property}: {each.words}" for each in verdict.violations]


@pytest.mark.parametrize("redis", [0.0, 0.5])
@pytest.mark.parametrize("window", [5, 10, 20])
def test_a_history_that_outruns_the_window_is_clean(window: int, redis: float, tmp_path: Path) -> None:
    """An id that left the window counts again, also one without an answer that comes late."""
    outran = 0
    for seed in range(40):
        run = RandomRun(
            seed, operations=200, window=window, mix=Mix(resend=8, sessions=0, lost=0.2, redis=redis, bare=redis)
        )
        verdict = judged(tmp_path, run.records)
        assert [] == [f"seed {seed}, {each.property}: {each.words}" for each in verdict.violations]
        outran += "resend-beyond-the-dedup-window" in verdict.reached
    assert outran > 20


@pytest.mark.parametrize("mix", MIXES)
def test_a_right_history_that_was_cut_off_accuses_nobody(mix: str, tmp_path: Path) -> None:
    """What was on its way when the writing ended stands in no line, though answers may show that it counted."""
    for seed in range(12):
        records = RandomRun(seed, mix=MIXES[mix]).records
        for length in range(5 + seed, len(records), 12):
            verdict = judged(tmp_path, records[:length])
            found = [f"seed {seed}, cut at {length}, {each.property}: {each.words}" for each in verdict.violations]
            assert [] == found
            assert "inconclusive" == verdict.verdict


def test_what_was_wrong_before_a_history_was_cut_off_is_found(tmp_path: Path) -> None:
    records = RandomRun(3, operations=200, mix=Mix(plain=0)).records
    reads = [each for each in records if isinstance(each, Read) and each.results]
    early = reads[len(reads) // 3]
    early.results["a"] += 1
    early.total += 1
    assert "violated" == judged(tmp_path, records[: len(records) * 2 // 3]).verdict


def test_a_history_from_which_a_line_is_missing_is_not_called_clean(tmp_path: Path) -> None:
    records = RandomRun(3, operations=60).records
    assert "clean" == judged(tmp_path, records).verdict
    left_out = next(each for each in records if isinstance(each, Read) and not each.settles)
    verdict = judged(tmp_path, [each for each in records if each is not left_out])
    operations = sum(isinstance(each, HistoryOperation) for each in records)
    assert "inconclusive" == verdict.verdict
    assert [
        f"lines are missing, or there are too many: the end tells of {operations}, and here are {operations - 1} "
        "operations"
    ] == verdict.reasons


def test_a_poll_that_nobody_read_in_the_end_is_named(tmp_path: Path) -> None:
    *records, _ = RandomRun(3, operations=60).records
    records = [each for each in records if not (isinstance(each, Read) and each.settles and each.poll == "q")]
    end = End(1_000, sum(isinstance(each, HistoryOperation) for each in records), True)
    verdict = judged(tmp_path, [*records, end])
    assert "inconclusive" == verdict.verdict
    assert ["1 poll with counted votes had no tally read in the end: q"] == verdict.reasons
