"""The one place where tests sleep: until something is so, or a deadline says that it never will be.

Some things can only be shown by time that passes and nothing that happens: `let_pass` names that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NeverHappened(AssertionError):
    """A condition did not hold by its deadline. The text says which, and what was seen instead."""


def wait_for(
    what: str,
    condition: Callable[[], T | None],
    *,
    deadline_s: float = 20.0,
    every_s: float = 0.02,
    seen: Callable[[], str] | None = None,
) -> T:
    """Return the first true value of `condition`; `seen` describes the state of things when it never came."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise NeverHappened(f"not within {deadline_s:g} s: {what}" + (f"\n{seen()}" if seen else ""))
        time.sleep(every_s)


def let_pass(seconds: float, *, because: str) -> None:
    """Sit out a time in which something must not happen."""
    assert because
    time.sleep(seconds)
