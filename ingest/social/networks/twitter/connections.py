"""The connection that is read, and the one that will be read after it, between the two threads of the network.

The reader owns `current`. The companion opens a successor when the options have changed, and only then is the current
one given up: what both deliver is harmless. Whoever opens a connection, or names a successor, holds `opening`: so a
reader whose connection ends never opens another one while a successor is on its way.
"""

from __future__ import annotations

import threading

from quorate.ingest.social.networks.twitter.filter_stream import FilterStream


class Connections:
    def __init__(self) -> None:
        self.opening = threading.Lock()
        self._changed = threading.Condition()
        self._current: FilterStream | None = None
        self._successor: FilterStream | None = None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        return self._is_over

    def begin(self, stream: FilterStream) -> None:
        """It is read from now on."""
        with self._changed:
            self._current = stream
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing is read now."""
        with self._changed:
            self._current = None
            self._changed.notify_all()

    def take_successor(self) -> FilterStream | None:
        with self._changed:
            taken, self._successor = self._successor, None
            self._changed.notify_all()
            return taken

    @property
    def has_successor(self) -> bool:
        return self._successor is not None

    def is_read(self, stream: FilterStream) -> bool:
        return self._current is stream and not self._is_over

    def settled(self, timeout_s: float) -> FilterStream | None:
        """The one that is read, when no successor waits for it; None if it is not so within the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._is_settled, timeout_s)
            return self._current if self._is_settled and not self._is_over else None

    @property
    def _is_settled(self) -> bool:
        return self._current is not None and self._successor is None

    def name_successor(self, successor: FilterStream) -> None:
        with self._changed:
            self._successor = successor
            self._changed.notify_all()

    def drain(self, old: FilterStream, drain_s: float) -> None:
        """Let `old` be read to its end, but not for longer than `drain_s` if the server leaves it open."""
        with self._changed:
            self._changed.wait_for(lambda: self._current is not old or self._is_over, drain_s)
            if self._current is old:
                old.wake()

    def give_up(self, old: FilterStream) -> None:
        """Have it ended without a successor."""
        with self._changed:
            if self._current is old:
                old.wake()

    def wake(self) -> None:
        with self._changed:
            if self._current is not None:
                self._current.wake()

    def close(self) -> None:
        """The network ends."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        successor = self.take_successor()
        if successor is not None:
            successor.close()
