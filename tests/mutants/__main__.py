"""python -m tests.mutants NAME ... | --all | --list | --table: catch planted bugs, as the tests do.

It prints for each mutant by which seed it is caught, and what is broken then. It exits with 1 if one survives, or if
the same seed breaks the sound product. `--table` prints the table of docs/chaos.md.
"""

from __future__ import annotations

import sys
import time

from tests.mutants.all import MUTANTS
from tests.mutants.catching import CATCHES, hunt
from tests.mutants.scenarios import run_scenario
from tests.mutants.table import table


def catch(name: str) -> bool:
    began_s = time.process_time()
    caught = hunt(MUTANTS[name], CATCHES[name])
    if caught is None:
        print(f"{name} SURVIVES {CATCHES[name].seeds} seeds", flush=True)
        return False
    took_s = time.process_time() - began_s
    print(f"{name} is caught by seed {caught.seed}, {took_s:.1f} s: {caught.words}", flush=True)
    if broken := run_scenario(CATCHES[name].scenario, caught.seed):
        print(f"but seed {caught.seed} breaks the sound product as well: {broken}")
    return not broken


def main(arguments: list[str]) -> int:
    if arguments == ["--list"]:
        for mutant in MUTANTS.values():
            print(f"{mutant.name:<40} {mutant.about}")
        return 0
    if arguments == ["--table"]:
        print("\n".join(table()))
        return 0
    names = list(MUTANTS) if arguments == ["--all"] else arguments
    if not names or (unknown := set(names) - set(MUTANTS)):
        print(__doc__ if not names else f"no mutant is called {', '.join(unknown)}: see --list", file=sys.stderr)
        return 2
    survivors = [name for name in names if not catch(name)]
    print(f"{len(survivors)} of {len(names)} survive")
    return min(len(survivors), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
