"""python -m tests.simulation FIRST [LAST]: run histories by seed and print their verdicts; 1 if one is broken."""

from __future__ import annotations

import sys
import time

from tests.simulation.cluster import history


def main(first: int, last: int) -> int:
    broken = 0
    for seed in range(first, last + 1):
        began_s = time.monotonic()
        try:
            verdict = history(seed)
        except (AssertionError, TimeoutError) as error:
            broken += 1
            print(f"seed {seed}: BROKEN {error!r}", flush=True)
            continue
        broken += bool(verdict.broken)
        print(("BROKEN " if verdict.broken else "") + f"{verdict} {time.monotonic() - began_s:.1f} s", flush=True)
    print(f"{broken} of {last - first + 1} histories broken")
    return min(broken, 1)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(numbers[0], numbers[-1]))
