"""Each mutant is caught within its seeds. One that survives is a failing test.

The seed that catches it says nothing is broken when the product is sound, or it would show nothing.
"""

from __future__ import annotations

import pytest

from tests.mutants.all import MUTANTS
from tests.mutants.catching import CATCHES, by_simulation, hunt
from tests.mutants.runs import RUNS
from tests.mutants.scenarios import run_scenario
from tests.mutants.table import table
from tests.support.checkout import ROOT


@pytest.mark.parametrize("name", by_simulation())
def test_a_mutant_is_caught(name: str) -> None:
    catch = CATCHES[name]
    caught = hunt(MUTANTS[name], catch)
    assert caught is not None, f"{name} survives {catch.seeds} seeds: a check or a fault is too weak"
    assert [] == run_scenario(catch.scenario, caught.seed), f"seed {caught.seed} breaks the sound product as well"


def test_every_mutant_is_caught_by_something() -> None:
    assert set(MUTANTS) == set(CATCHES) | set(RUNS)


def test_the_documents_name_every_mutant_and_what_catches_it() -> None:
    """`python -m tests.mutants --table` prints it."""
    assert "\n".join(table()) in (ROOT / "docs" / "chaos.md").read_text()
