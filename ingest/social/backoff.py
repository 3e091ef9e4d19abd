"""How long to wait before the next try, for each kind of failure, as the networks' documents ask for it."""

from __future__ import annotations

import random


class Backoff:
    """The first pause, then twice as much each time (or `step_s` more), up to `max_s`. `reset` after a success."""

    def __init__(self, first_s: float, max_s: float, *, step_s: float | None = None, jitter: float = 0.1) -> None:
        self._first_s, self._max_s, self._step_s, self._jitter = first_s, max_s, step_s, jitter
        self._next_s = first_s

    def next_s(self) -> float:
        now_s = self._next_s
        grown_s = now_s * 2 if self._step_s is None else now_s + self._step_s
        self._next_s = min(self._max_s, grown_s)
        return now_s * (1 + random.uniform(0, self._jitter))  # never sooner than the documents ask for

    def reset(self) -> None:
        self._next_s = self._first_s
