"""python -m tests.simulation FIRST [LAST]: run histories by seed and print their verdicts; 1 if one is broken.

One process a core, each with a history of its own: a seed means the same, whoever runs it. The nodes' log is shown for
a single seed only.
"""

from __future__ import annotations

import logging
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.history import history


def told(seed: int) -> tuple[bool, str]:
    """Whether the history broke a promise, and what to print of it."""
    began_s = time.monotonic()
    try:
        verdict = history(seed)
    except (AssertionError, TimeoutError) as error:
        return True, f"seed {seed}: BROKEN {error!r}"
    return bool(verdict.broken), f"{'BROKEN ' * bool(verdict.broken)}{verdict} {time.monotonic() - began_s:.1f} s"


def main(first: int, last: int) -> int:
    broken = 0
    quiet = logging.CRITICAL if first != last else logging.NOTSET
    with ProcessPoolExecutor(initializer=logging.disable, initargs=(quiet,)) as pool:
        for failed, line in pool.map(told, range(first, last + 1)):
            broken += failed
            print(line, flush=True)
    print(f"{broken} of {last - first + 1} histories broken")
    return min(broken, 1)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(numbers[0], numbers[-1]))
