"""The only way in which tests wait: for a condition, with a deadline.

A test that shows that something does not happen must wait for some time: `let_pass` is for that.
"""

from __future__ import annotations

import time

from quorate.processes.waiting import NeverHappened, until, wait_for

__all__ = ["NeverHappened", "let_pass", "until", "wait_for"]


def let_pass(seconds: float, *, because: str) -> None:
    """Wait for a time in which something must not happen, or that something takes."""
    assert because
    time.sleep(seconds)
