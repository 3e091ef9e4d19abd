"""Says whether libfaketime does no harm to a program of ours: `python -P -m quorate.chaos.victim.clock_check`.

It must move the wall clock and nothing else: the monotonic clock runs on, waits take as long as they should, also after
a jump, and threads hand things over as fast as always. Prints the monotonic clock, or ends with 1 and what is wrong.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterator

from quorate.chaos.orders import Orders
from quorate.chaos.victim.wall_clock import WallClock, wall_clock

FAR_S = 86_400.0
NEAR_S = 60.0  # a busy machine may stand still for some time
WAIT_S = 0.02
HANDED_OVER, AT_MOST_S = 200, 1.0  # where libfaketime slows it down, it takes 2 s and more


def wrong(clock: WallClock) -> Iterator[str]:
    real_s = time.time() - time.monotonic()
    for ahead_s in (FAR_S, -FAR_S, 0.0):
        began_s = time.monotonic()
        clock.follow(Orders(ahead_s=ahead_s))
        if abs(time.time() - time.monotonic() - real_s - ahead_s) > NEAR_S:
            yield "it does not move the clock"
        for name, wait in WAITS.items():
            at_s = time.monotonic()
            try:
                wait(WAIT_S)
            except OSError as error:
                yield f"{name} fails: {error}"
            if not WAIT_S * 0.9 < time.monotonic() - at_s < NEAR_S:
                yield f"{name} does not take its time"
        if not 0 <= time.monotonic() - began_s < NEAR_S:
            yield "it moves the monotonic clock"
    if _hand_over_s() > AT_MOST_S:
        yield "it makes threads slow"


def _wait_for_an_event(seconds: float) -> None:
    threading.Event().wait(seconds)


def _wait_for_a_lock(seconds: float) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=seconds)


WAITS = {"a sleep": lambda seconds: time.sleep(seconds), "an event": _wait_for_an_event, "a lock": _wait_for_a_lock}


def _hand_over_s() -> float:
    there: queue.Queue[int] = queue.Queue()
    back: queue.Queue[int] = queue.Queue()

    def run() -> None:
        for _ in range(HANDED_OVER):
            back.put(there.get(timeout=NEAR_S))

    threading.Thread(target=run, daemon=True).start()
    began_s = time.monotonic()
    for number in range(HANDED_OVER):
        there.put(number)
        back.get(timeout=NEAR_S)
    return time.monotonic() - began_s


if __name__ == "__main__":
    if (found := next(wrong(wall_clock()), None)) is not None:
        sys.exit(found)
    print(time.monotonic())
