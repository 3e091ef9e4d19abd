"""How fast a client reads its answers: one that reads nothing, or too slowly, has its connection broken off."""

from __future__ import annotations

from quorate.doors.limits import Limits


class ReadingPace:
    """Of one connection. It is looked at once a second."""

    __slots__ = ("_before", "_most", "_stalled_since_s", "unread_since_s")

    def __init__(self) -> None:
        self._stalled_since_s: float | None = None
        self.unread_since_s: float | None = None
        self._most = 0  # that was unread since then
        self._before = 0  # what the socket had not taken at the last look

    def is_too_slow(self, unsent: int, held: int, limits: Limits, now_s: float) -> bool:
        """`unsent` is what the socket has not taken, and `held` what the node holds for it."""
        is_slow = self._is_behind(held, limits, now_s)
        if not unsent or unsent < self._before:
            self._stalled_since_s = None
        elif self._stalled_since_s is None:
            self._stalled_since_s = now_s
        elif now_s - self._stalled_since_s > limits.stall_timeout_s:
            is_slow = True
        self._before = unsent
        return is_slow

    def _is_behind(self, held: int, limits: Limits, now_s: float) -> bool:
        """An answer must be read as a whole in a time that its size allows, however steadily a client reads it."""
        if not held:
            self.unread_since_s = None
            return False
        if self.unread_since_s is None:
            self.unread_since_s, self._most = now_s, held
            return False
        self._most = max(self._most, held)
        return now_s - self.unread_since_s > limits.stall_timeout_s + self._most / limits.answer_bytes_per_s
