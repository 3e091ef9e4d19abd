"""The table of all mutants in docs/chaos.md."""

from __future__ import annotations

from collections.abc import Iterable

from tests.mutants.all import MUTANTS
from tests.mutants.catching import CATCHES, Catch
from tests.mutants.runs import RUNS, ChaosCatch


def table() -> Iterable[str]:
    """Its lines."""
    yield "| mutant | what is wrong | caught by |"
    yield "|---|---|---|"
    for mutant in MUTANTS.values():
        ways = [_by_seeds(CATCHES.get(mutant.name)), _by_run(RUNS.get(mutant.name))]
        yield f"| `{mutant.name}` | {mutant.about} | {'; '.join(way for way in ways if way)} |"


def _by_seeds(catch: Catch | None) -> str:
    if catch is None:
        return ""
    one_of = max(1, round(1 / catch.chance))
    which = "nearly every seed" if one_of == 1 else f"one of {one_of} seeds"
    return f"simulation: {which}, {catch.seeds} are tried"


def _by_run(run: ChaosCatch | None) -> str:
    return "" if run is None else f"a run of {run.seconds} s: `--faults {run.faults}`"
