"""The one place where tests sleep: until something is so, or a deadline says that it never will be.

Some things can only be shown by time that passes and nothing that happens: `let_pass` names that.
"""

from __future__ import annotations

import time

from quorate.processes.waiting import NeverHappened, wait_for

__all__ = ["NeverHappened", "let_pass", "wait_for"]


def let_pass(seconds: float, *, because: str) -> None:
    """Wait for a time in which something must not happen."""
    assert because
    time.sleep(seconds)
