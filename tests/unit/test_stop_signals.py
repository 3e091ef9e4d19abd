"""An event that a signal's handler sets, whatever the main thread does with it at that moment."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import signal
from quorate.stop_signals import SignalledEvent

event = SignalledEvent()
signal.signal(signal.SIGALRM, lambda *_: event.set())
for number in range(50_000):
    signal.setitimer(signal.ITIMER_REAL, (2 + number % 50) / 1_000_000)
    for _ in range(20):
        event.wait(0)
        event.clear()
print("goes on")
"""


def test_a_handler_may_set_it_while_the_main_thread_waits_for_it() -> None:
    """With an event of `threading` this stands still for ever, and `quorate dev` did, once in some thousand stops."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert "goes on\n" == done.stdout
