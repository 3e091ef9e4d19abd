"""The table of all mutants in docs/chaos.md."""

from __future__ import annotations

from collections.abc import Iterable

from tests.mutants.all import MUTANTS
from tests.mutants.catching import CATCHES, Catch


def table() -> Iterable[str]:
    """Its lines."""
    yield "| mutant | what is wrong | caught by |"
    yield "|---|---|---|"
    for mutant in MUTANTS.values():
        yield f"| `{mutant.name}` | {mutant.about} | {_how(CATCHES[mutant.name])} |"


def _how(catch: Catch) -> str:
    seeds = "the first seed" if catch.is_sure else f"one of {round(1 / catch.chance)} seeds; {catch.seeds} are tried"
    return f"the simulation, {seeds}"
