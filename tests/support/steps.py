"""Counts what one thread does: lines of Python that it runs, and calls of Python and C.

Seconds tell little on a busy machine. These are the same on each machine. Python 3.12 and 3.13 take up to 8 % fewer
than 3.11, whose numbers stand in the tests. So 15 % more are beyond the room on each of them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

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
    """Call `start` and `stop` on the thread that is counted, or use it as a context there."""

    def __init__(self) -> None:
        self._python_calls = self._c_calls = self._lines = 0
        self._others: Any = None  # the tracing of coverage

    def start(self) -> None:
        self._others = sys.gettrace()
        sys.settrace(self._trace)
        sys.setprofile(self._note)

    def stop(self) -> None:
        sys.setprofile(None)
        sys.settrace(self._others)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()

    def each(self, times: int) -> Steps:
        return Steps(self._python_calls / times, self._c_calls / times, self._lines / times)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self._python_calls += 1
        elif event == "c_call":
            self._c_calls += 1

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self._lines += 1
        return self._trace
