"""python -m tests.simulation FIRST [LAST] [FAULT=FACTOR ...]: run histories by seed and print their verdicts.

It exits with 1 if one is broken. A factor makes a fault of `faults.FAULTS` likelier: `bridge=10 one-way=10`.

One process a core, each with a history of its own: a seed means the same, whoever runs it. The nodes' log is shown for
a single seed only.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.faults import FAULTS
from tests.simulation.history import history


def told(likelier: Mapping[str, float], seed: int) -> tuple[bool, str]:
    """Whether the history broke a promise, and what to print of it."""
    began_s = time.monotonic()
    try:
        verdict = history(seed, likelier=likelier)
    except (AssertionError, TimeoutError) as error:
        return True, f"seed {seed}: BROKEN {error!r}"
    return bool(verdict.broken), f"{'BROKEN ' * bool(verdict.broken)}{verdict} {time.monotonic() - began_s:.1f} s"


def main(first: int, last: int, likelier: Mapping[str, float]) -> int:
    broken = 0
    quiet = logging.CRITICAL if first != last else logging.NOTSET
    with ProcessPoolExecutor(initializer=logging.disable, initargs=(quiet,)) as pool:
        for failed, line in pool.map(partial(told, likelier), range(first, last + 1)):
            broken += failed
            print(line, flush=True)
    print(f"{broken} of {last - first + 1} histories broken")
    return min(broken, 1)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if "=" not in argument]
    factors = dict(argument.split("=") for argument in sys.argv[1:] if "=" in argument)
    if unknown := factors.keys() - {fault.name for fault in FAULTS}:
        sys.exit(f"no fault is called {', '.join(unknown)}: {', '.join(fault.name for fault in FAULTS)}")
    sys.exit(main(numbers[0], numbers[-1], {name: float(factor) for name, factor in factors.items()}))
