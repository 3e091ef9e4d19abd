"""Time for code that waits by `time.sleep`: a test puts it in the place of that module's `time`."""

from __future__ import annotations


class Timed:
    """Time passes only where somebody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s
