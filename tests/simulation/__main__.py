"""Run histories by seed, print their verdicts, and make a schedule that fails as small as it can be.

python -m tests.simulation 7                      one seed, with the nodes' log
python -m tests.simulation 0 999 bridge=10        these seeds; a factor makes a fault of `fault_shares.py` likelier
python -m tests.simulation --seeds 100000         that many, with a line of progress now and then
python -m tests.simulation --again '{"seed": …}'  a schedule that was printed, with the nodes' log

It exits with 1 if a history is broken. Whoever stops it is told how to go on.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from itertools import takewhile

from tests.simulation import situations
from tests.simulation.fault_shares import FAULT_SHARES, WHOLE_SHARES
from tests.simulation.history import play
from tests.simulation.many import play_all
from tests.simulation.schedule import Schedule, drawn, parse
from tests.simulation.shrinking import Shrinking, steps_in_words
from tests.simulation.verdicts import SimVerdict

PROGRESS_S = 10.0


def alone(schedule: Schedule) -> int:
    verdict = play(schedule)
    print(verdict)
    return bool(verdict.broken)


def show_minimal(schedule: Schedule) -> None:
    """The schedule that is left when whatever does not matter is left out."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        small = Shrinking(lambda candidate: bool(play(candidate).broken)).shrink(schedule)
        broken = play(small).broken
    finally:
        logging.disable(before)
    print(f"the smallest schedule found that fails, {len(small.steps)} of {len(schedule.steps)} steps, {small.names}:")
    print(steps_in_words(small.steps))
    print("\n".join(broken))
    print(f"python -m tests.simulation --again '{small.text()}'", flush=True)


class Campaign:
    """Many seeds. Every broken one is told at once, and the first ones are made smaller in the end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._began_s = self._told_s = time.monotonic()
        self._done = 0
        self._done_ahead: set[int] = set()  # seeds beyond the first that is not done
        self._next = 0
        self._seen: Counter[str] = Counter()
        self._broken: list[tuple[Schedule, SimVerdict]] = []

    def run(self, first: int, seeds: int, likelier: dict[str, float]) -> int:
        self._next = first
        limit_s = self._began_s + 60 * self._options.minutes
        in_time = takewhile(lambda seed: time.monotonic() < limit_s, range(first, first + seeds))
        schedules = (drawn(seed, likelier=likelier, whole=self._options.whole or None) for seed in in_time)
        try:
            for schedule, verdict in play_all(schedules, self._options.workers):
                self._take(schedule, verdict, seeds)
        except KeyboardInterrupt:
            print("stopped")
        self._end(first, seeds)
        return bool(self._broken)

    def _take(self, schedule: Schedule, verdict: SimVerdict, seeds: int) -> None:
        self._done += 1
        self._seen += verdict.seen
        self._done_ahead.add(schedule.seed)
        while self._next in self._done_ahead:
            self._done_ahead.remove(self._next)
            self._next += 1
        if verdict.broken:
            self._broken.append((schedule, verdict))
            print(f"seed {schedule.seed}: BROKEN {verdict.broken}", flush=True)
        if self._options.verbose:
            print(verdict, flush=True)
        if time.monotonic() - self._told_s > PROGRESS_S:
            self._told_s = time.monotonic()
            print(self._progress(seeds), flush=True)

    def _progress(self, seeds: int) -> str:
        a_minute = 60 * self._done / max(time.monotonic() - self._began_s, 0.001)
        left = (seeds - self._done) / max(a_minute, 0.001)
        return f"{self._done:,} of {seeds:,} seeds, {a_minute:,.0f} a minute, {left:.0f} minutes left"

    def _end(self, first: int, seeds: int) -> None:
        print(situations.table(self._seen))
        print(self._progress(seeds))
        print(f"{len(self._broken)} of {self._done} histories broken")
        if self._done < seeds:
            print(f"go on with: --first {self._next} --seeds {first + seeds - self._next}")
        for schedule, _ in self._broken[: self._options.shrink]:
            print(f"seed {schedule.seed}:")
            show_minimal(schedule)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", help="FIRST [LAST] [FAULT=FACTOR ...]")
    parser.add_argument("--seeds", type=int, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no history after that time")
    parser.add_argument("--workers", type=int, help="processes; one a core if not given")
    parser.add_argument("--shrink", type=int, default=1, metavar="N", help="make the first N that fail smaller")
    parser.add_argument("--again", metavar="SCHEDULE", help="a schedule as it was printed")
    parser.add_argument("--whole", action="store_true", help="whole nodes alone, with the clients of quorate chaos")
    parser.add_argument("--verbose", action="store_true", help="show each verdict")
    options = parser.parse_args(arguments)
    factors = dict(each.split("=", 1) for each in options.what if "=" in each)
    if unknown := factors.keys() - WHOLE_SHARES.keys() - FAULT_SHARES.keys():
        parser.error(f"no fault is called {', '.join(unknown)}: {', '.join(FAULT_SHARES)}")
    likelier = {name: float(factor) for name, factor in factors.items()}
    if options.again:
        return alone(parse(options.again))
    numbers = [int(each) for each in options.what if "=" not in each]
    if options.seeds:
        return Campaign(options).run(options.first, options.seeds, likelier)
    if not numbers:
        parser.error("give a seed, two seeds, or --seeds")
    if len(numbers) == 1:
        return alone(drawn(numbers[0], likelier=likelier, whole=options.whole or None))
    options.verbose = True
    return Campaign(options).run(numbers[0], numbers[-1] - numbers[0] + 1, likelier)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
