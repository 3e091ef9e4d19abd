"""What Twitter holds back, when more posts fit the track list than it delivers: told, but not with every notice."""

from __future__ import annotations

from collections.abc import Callable

from quorate.words import count

TOLD_EVERY_S = 60.0


class WithheldCount:
    """A notice has the total since the connection was made. `clock` is monotonic."""

    def __init__(self, tell: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._tell, self._clock = tell, clock
        self.posts = 0  # ever
        self._total = self._untold = 0
        self._due_s = 0.0

    def notice(self, total: int) -> None:
        more = max(0, total - self._total)
        self.posts += more
        self._untold += more
        self._total = max(total, self._total)
        if self._clock() >= self._due_s:
            self._flush()

    def connection_ended(self) -> None:
        self._flush()
        self._total = 0

    def _flush(self) -> None:
        if self._untold:
            self._tell(f"{count(self._untold, 'post')} held back by the server: too many fit the options at once")
            self._untold = 0
            self._due_s = self._clock() + TOLD_EVERY_S
