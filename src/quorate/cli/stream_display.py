"""Shows a running stream: lines that change on a terminal, otherwise a line in the log from time to time."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from quorate import shown

if TYPE_CHECKING:
    from rich.live import Live

log = logging.getLogger(__name__)

DRAWN_EVERY_S, LOGGED_EVERY_S = 0.5, 30.0

Lines = Callable[[float], Sequence[str]]


class StreamDisplay(Protocol):
    def tick(self, lines: Lines) -> None:
        """Show the lines, if it is time for that."""
        ...

    def close(self) -> None: ...


class LoggedLines:
    """The lines as one, every half a minute."""

    def __init__(self) -> None:
        self._due_s = time.monotonic() + LOGGED_EVERY_S

    def tick(self, lines: Lines) -> None:
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + LOGGED_EVERY_S
            log.info("%s", "; ".join(lines(now_s)))

    def close(self) -> None: ...


class LiveLines:
    """On standard error. What is logged there meanwhile stands above the lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live: Live = Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True)
        self._live.start()
        self._due_s = 0.0

    def tick(self, lines: Lines) -> None:
        from rich.text import Text

        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + DRAWN_EVERY_S
            text = "\n".join(map(shown.line, lines(now_s)))  # what networks and servers say is part of it
            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def close(self) -> None:
        self._live.stop()


def stream_display() -> StreamDisplay:
    """Make it before the log is set up: lines of the log are then shown above it."""
    return LiveLines() if sys.stderr.isatty() else LoggedLines()
