"""The budget for bytes of answers that are written and that clients do not read.

An answer that a client does not read stays in this process. So much as one answer a connection is normal; of big ones
a few hundred would take the node's memory. So all together have a budget. A big answer that does not fit has the
connections broken off that have held theirs longest and most, if they have held it for seconds. Only if nobody is slow
is the answer not given: 429.

What is written goes to its clients in pieces, in one `line` (`in_pieces.py`).

Small answers are not asked about. They are counted once a second, with all others; if the small ones alone are too much
then, those are broken off, too, that have held most for seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from quorate.doors.waiting_line import WaitingLine

BIG_BYTES = 16 * 1024
SMALL_HELD_BYTES = 64 * 1024  # small answers are not begun where a connection has a quarter of that unread
SLOW_S = 2.0
PIECED_AT_ONCE = 1_000  # connections in a step of the line: their time is what bounds them
COUNT_AGAIN_S = 0.05  # to count costs some milliseconds where there are ten thousand connections


class Sending(Protocol):
    """A connection, as this file sees it."""

    @property
    def unsent(self) -> int: ...

    @property
    def unread_since_s(self) -> float | None:
        """Since when its client has not taken all that was written; None if it has."""
        ...

    def break_off(self) -> None: ...


class UnsentBytes:
    """Used on the node's loop."""

    def __init__(
        self, most: int, connections: Callable[[], Collection[Sending]], version: Callable[[], int] = lambda: 0
    ) -> None:
        """`version` is that of the state."""
        self._most = most
        self._connections = connections
        self.line = WaitingLine(PIECED_AT_ONCE, version=version)
        self.held = 0  # as counted last, and what was written since
        self._counted_s = float("-inf")
        self.broken_off = 0

    def take(self, size: int, now_s: float) -> bool:
        """Whether an answer of this size may be written now. One may, however big, when nothing else waits."""
        if self.held + size > self._most and now_s - self._counted_s >= COUNT_AGAIN_S:
            sizes = self.count(now_s)
            self._break_off_slow(sizes, self.held + size - self._most, now_s)
        if self.held and self.held + size > self._most:
            return False
        self.held += size
        return True

    def sweep(self, now_s: float) -> None:
        sizes = self.count(now_s)
        small = {each: size for each, size in sizes.items() if size <= SMALL_HELD_BYTES}
        too_much = sum(small.values()) - self._most
        if too_much > 0:
            self._break_off_slow(small, too_much, now_s)

    def count(self, now_s: float) -> dict[Sending, int]:
        """Those that hold something, and how much."""
        self._counted_s = now_s
        sizes = {each: size for each in self._connections() if (size := each.unsent)}
        self.held = sum(sizes.values())
        return sizes

    def _break_off_slow(self, connections: Collection[Sending], enough: int, now_s: float) -> None:
        """Until so many bytes are freed, those with most first."""
        slow = [each for each in connections if _is_slow(each, now_s)]
        for connection in sorted(slow, key=lambda each: each.unsent, reverse=True):
            if enough <= 0:
                return
            enough -= connection.unsent
            self.held -= connection.unsent
            self.broken_off += 1
            connection.break_off()


def _is_slow(connection: Sending, now_s: float) -> bool:
    since_s = connection.unread_since_s
    return since_s is not None and now_s - since_s >= SLOW_S
