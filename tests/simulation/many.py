"""Many histories, one process a core. A schedule means the same, whoever runs it."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice

from tests.simulation.history import play
from tests.simulation.schedule import Schedule
from tests.simulation.verdicts import SimVerdict

AT_ONCE = 8  # histories that wait in a worker's process: to hand one over takes time


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def play_all(schedules: Iterable[Schedule], workers: int | None = None) -> Iterator[tuple[Schedule, SimVerdict]]:
    """As they end, in about the order in which they are given."""
    workers, rest = workers or cores(), iter(schedules)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_prepare) as pool:
        running: dict[Future[list[SimVerdict]], list[Schedule]] = {}
        try:
            while True:
                while len(running) < 2 * workers and (some := list(islice(rest, AT_ONCE))):
                    running[pool.submit(_play_some, some)] = some
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield from zip(running.pop(done), done.result(), strict=True)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _play_some(schedules: list[Schedule]) -> list[SimVerdict]:
    verdicts = []
    for schedule in schedules:
        verdicts.append(play(schedule))
        gc.collect()
    return verdicts


def _prepare() -> None:
    """A history makes few cycles, and a collection after each takes less time than many within.

    It waits for nothing: tests beside it that wait for clocks and nodes go first.
    """
    if hasattr(os, "nice"):
        os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started the workers ends them
    logging.disable(logging.CRITICAL)
    gc.freeze()
    gc.disable()
