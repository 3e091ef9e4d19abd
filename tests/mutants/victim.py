"""python -P -m tests.mutants.victim NAME node --config FILE: the node of `quorate.chaos.victim`, with a planted bug."""

from __future__ import annotations

import runpy
import sys

from tests.mutants.all import MUTANTS
from tests.mutants.planting import plant

if __name__ == "__main__":
    name = sys.argv.pop(1)
    plant(MUTANTS[name])
    print(f"THIS NODE HAS A PLANTED BUG: {name}: {MUTANTS[name].about}", file=sys.stderr, flush=True)
    runpy.run_module("quorate.chaos.victim", run_name="__main__", alter_sys=True)
