"""Counts what one thread does: lines of Python that it runs, and calls of Python and C.

Seconds tell little on a busy machine. These are the same on each machine. Python 3.12 and 3.13 take up to 8 % fewer
than 3.11, whose numbers stand in the tests. So 15 % more are beyond the room on each of them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any

ROOM = 1.05


@dataclass(frozen=True, slots=True)
class Steps:
    python_calls: float
    c_calls: float
    lines: float

    def beyond(self, known: Steps) -> dict[str, tuple[float, float]]:
        """What is more than what is known of, and what that was. Whoever adds to it should know what for."""
        pairs = {name: (getattr(self, name), getattr(known, name)) for name in self.__slots__}
        return {name: (now, before) for name, (now, before) in pairs.items() if now > before * ROOM}


class StepCount:
    """Call `start` and `stop` on the thread that is counted, for each of some rounds.

    A timer may run in a round, on a slow machine in many. So the round with the fewest steps counts.
    """

    def __init__(self) -> None:
        self._python_calls = self._c_calls = self._lines = 0
        self._rounds: list[Steps] = []
        self._others: Any = None  # the tracing of coverage

    def start(self) -> None:
        self._python_calls = self._c_calls = self._lines = 0
        self._others = sys.gettrace()
        sys.settrace(self._trace)
        sys.setprofile(self._note)

    def stop(self, times: int) -> None:
        """What was counted was done so many times."""
        sys.setprofile(None)
        sys.settrace(self._others)
        self._rounds.append(Steps(self._python_calls / times, self._c_calls / times, self._lines / times))

    def fewest(self) -> Steps:
        """Of one time."""
        return Steps(*(min(getattr(each, name) for each in self._rounds) for name in Steps.__slots__))

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self._python_calls += 1
        elif event == "c_call":
            self._c_calls += 1

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self._lines += 1
        return self._trace
