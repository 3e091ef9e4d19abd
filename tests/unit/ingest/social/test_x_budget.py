"""A day's budget of posts, also when the command is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.errors import Conflict, Invalid
from quorate.ingest.social.networks.x.budget import BudgetLimits, DailyBudget

NOON_S = 1_800_014_400.0 + 12 * 3600 - (1_800_014_400 % 86_400)


class Clock:
    def __init__(self) -> None:
        self.now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("limits", "posts", "words"),
    [
        (BudgetLimits(), 1_000, "1,000 posts ($5.00) a day"),
        (BudgetLimits(5_000), 5_000, "5,000 posts ($25.00) a day"),
        (BudgetLimits(dollars_per_day=50), 10_000, "10,000 posts ($50.00) a day"),
        (BudgetLimits(5_000, dollars_per_day=1), 200, "200 posts ($1.00) a day"),
        (BudgetLimits(100, dollars_per_day=1), 100, "100 posts ($0.50) a day"),
        (BudgetLimits(10**9, dollars_per_day=0.015), 3, "3 posts ($0.01) a day"),
        (BudgetLimits(7, dollars_per_day=1, dollars_per_post=0), 7, "7 posts ($0.00) a day"),
    ],
)
def test_limits(limits: BudgetLimits, posts: int, words: str) -> None:
    assert (posts, words) == (limits.posts, str(limits))


def test_it_is_spent_and_new_on_the_next_day() -> None:
    clock = Clock()
    budget = DailyBudget(BudgetLimits(10), None, clock)
    budget.spend(4)
    assert (4, 6) == (budget.spent, budget.left)
    budget.spend(9)
    assert 0 == budget.left
    assert 12 * 3600 == budget.until_tomorrow_s()
    clock.now_s += 12 * 3600
    assert 10 == budget.left
    clock.now_s -= 3600
    budget.spend(3)
    assert 7 == budget.left, "a clock that goes back gives no second budget"


def test_a_kill_never_forgets_what_was_spent(tmp_path: Path) -> None:
    """It may count some posts that were not read: those that were reserved."""
    clock, file, limits = Clock(), tmp_path / "budget.json", BudgetLimits(2_000)
    for read in (1, 30, 500, 3):
        before = DailyBudget(limits, file, clock).spent
        killed = DailyBudget(limits, file, clock)
        for _ in range(read):
            killed.spend(1)
        assert before + read <= DailyBudget(limits, file, clock).spent <= before + read + 11


def test_each_read_of_a_tight_budget_is_written(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "budget.json"
    DailyBudget(BudgetLimits(5), file, clock).spend(5)
    assert 0 == DailyBudget(BudgetLimits(5), file, clock).left
    clock.now_s += 86_400
    assert 5 == DailyBudget(BudgetLimits(5), file, clock).left


def test_one_command_at_a_time_spends(tmp_path: Path) -> None:
    with DailyBudget.held(BudgetLimits(), tmp_path / "state" / "x.json") as budget:
        budget.spend(1)
        with (
            pytest.raises(Conflict, match="with this account"),
            DailyBudget.held(BudgetLimits(), tmp_path / "state/x.json"),
        ):
            pass


def test_a_count_that_cannot_be_kept_is_told_before_a_post_is_paid_for(tmp_path: Path) -> None:
    """Started again and again, as supervisors do it, each start would cost posts that nobody counts."""
    file = tmp_path / "state" / "x.json"
    told = rf"what was spent cannot be written: .*, in {file.parent}; no more posts are read"
    with DailyBudget.held(BudgetLimits(5), file) as budget:
        budget.spend(1)
        file.with_suffix(".new").mkdir(parents=True)  # in the way of the next writing
        with pytest.raises(OSError, match=told):
            budget.spend(2)
    with (
        pytest.raises(OSError, match=told),
        DailyBudget.held(BudgetLimits(5), file),
    ):
        pass
    file.with_suffix(".new").rmdir()
    with DailyBudget.held(BudgetLimits(5), file) as budget:
        assert 2 == budget.spent, "a start by itself costs nothing"


def test_a_damaged_count_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(Invalid, match="damaged"):
        DailyBudget(BudgetLimits(), tmp_path / "x.json")
