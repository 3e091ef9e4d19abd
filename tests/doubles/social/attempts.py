"""Whether a client pauses between its connects as Twitter's and X's documents ask for it.

Allowed sooner than they say: nothing but the jitter of clocks. Later is always fine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SLACK_S = 0.05


@dataclass(slots=True)
class Attempts:
    """`limit` connects in `window_s`; more are answered 420 or 429 by who asks `is_too_many`."""

    clock: Callable[[], float]
    blame: Callable[[str], None]
    limit: int = 50
    window_s: float = 15 * 60
    times: list[float] = field(default_factory=list)
    _not_before_s: float = 0.0
    _why: str = ""
    _failures: dict[str, int] = field(default_factory=dict)

    def made(self) -> None:
        now_s = self.clock()
        if now_s < self._not_before_s - SLACK_S:
            self.blame(f"it came {self._not_before_s - now_s:.2f} s too soon after {self._why}")
        self._not_before_s = 0.0
        self.times.append(now_s)

    @property
    def is_too_many(self) -> bool:
        return self.left < 0

    @property
    def left(self) -> int:
        since_s = self.clock() - self.window_s
        return self.limit - sum(1 for time_s in self.times if time_s > since_s)

    def reset_s(self) -> float:
        """How long until another is allowed."""
        recent = self.times[-self.limit :]
        return max(0.0, recent[0] + self.window_s - self.clock()) if recent else 0.0

    def answered(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        """With no success."""
        kind, first_s, most_s = ("limited", 60, 3600) if status in (420, 429) else ("http", 5, 320)
        failures = self._failures[kind] = self._failures.get(kind, 0) + 1
        pause_s = min(most_s, first_s * 2 ** (failures - 1))
        pause_s = max(pause_s, float((headers or {}).get("Retry-After", 0)))
        self._wait(pause_s, f"{status} number {failures}")

    def cut(self) -> None:
        """Hung up before there was an answer."""
        failures = self._failures["tcp"] = self._failures.get("tcp", 0) + 1
        self._wait(min(16, 0.25 * failures), f"cut {failures}")

    def delivered(self) -> None:
        """Something came over a connection."""
        self._failures.clear()

    def _wait(self, pause_s: float, why: str) -> None:
        self._not_before_s, self._why = self.clock() + pause_s, why
