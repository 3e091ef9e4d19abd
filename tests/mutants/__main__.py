"""python -m tests.mutants NAME ... | --all | --list | --json | --table: catch planted bugs.

Those that the simulation catches are caught as the tests do it. The others, and with `--runs` all that a run of
`quorate
chaos` catches, need real processes: a cluster whose nodes have the bug, and then one whose nodes do not. It prints for
each mutant what is broken, and exits with 1 if one survives, or if the sound product is broken by the same.
`--table` prints the table of docs/chaos.md, `--json` is for `quorate chaos --mutant`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from tests.mutants.all import MUTANTS
from tests.mutants.catching import CATCHES, hunt
from tests.mutants.runs import RUNS, run_chaos
from tests.mutants.scenarios import run_scenario
from tests.mutants.table import table


def by_simulation(name: str) -> bool:
    began_s, catch = time.process_time(), CATCHES[name]
    caught = hunt(MUTANTS[name], catch)
    if caught is None:
        print(f"{name} SURVIVES {catch.seeds} seeds", flush=True)
        return False
    took_s = time.process_time() - began_s
    print(f"{name} is caught by seed {caught.seed}, {took_s:.1f} s: {caught.words}", flush=True)
    if broken := run_scenario(catch.scenario, caught.seed):
        print(f"but seed {caught.seed} breaks the SOUND product as well: {broken}", flush=True)
    return not broken


def by_run(name: str) -> bool:
    began_s, run = time.monotonic(), RUNS[name]
    verdict = run_chaos(run, name)
    took_s = time.monotonic() - began_s
    if not run.is_in(verdict):
        print(f"{name} SURVIVES a run under {run.faults}: {verdict['verdict']}, {verdict['reasons']}", flush=True)
        return False
    print(f"{name} is caught by a run, {took_s:.0f} s: {verdict['violations'][0]['words']}", flush=True)
    sound = run_chaos(run, None)
    if sound["verdict"] == "violated":
        print(f"but the SOUND product is violated as well: {sound['violations'][0]['words']}", flush=True)
    return bool(sound["verdict"] != "violated")


def _tell(what: str) -> None:
    if what == "--json":
        told = [(mutant, RUNS.get(mutant.name)) for mutant in MUTANTS.values()]
        listed = [
            {"name": mutant.name, "about": mutant.about, "faults": run.faults.split(",") if run else []}
            for mutant, run in told
        ]
        print(json.dumps(listed))
    elif what == "--table":
        print("\n".join(table()))
    else:
        for mutant in MUTANTS.values():
            print(f"{mutant.name:<40} {mutant.about}")


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("--json", "--table", "--list"):
        _tell(arguments[0])
        return 0
    runs = "--runs" in arguments
    names = [argument for argument in arguments if argument != "--runs"]
    if names == ["--all"]:
        names = list(MUTANTS)
    if not names or (unknown := set(names) - set(MUTANTS)):
        print(f"no mutant is called {', '.join(unknown)}: see --list" if names else __doc__, file=sys.stderr)
        return 2
    hunts: list[tuple[str, Callable[[str], bool]]] = []
    hunts += [(name, by_simulation) for name in names if name in CATCHES]
    hunts += [(name, by_run) for name in names if name in RUNS and (runs or name not in CATCHES)]
    survivors = [name for name, hunt_by in hunts if not hunt_by(name)]
    print(f"{len(survivors)} of {len(hunts)} survive")
    return min(len(survivors), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
