"""How fast posts come: quietly, with a burst in each minute, and now and then a spike in which all speak of one thing.

Only sums, products and quotients: they are the same on all machines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BURST, BURST_S = 4.0, (2.0, 8.0)  # so many times as fast as usual, for so long
SPIKE, SPIKE_S = 8.0, 5.0
FIRST_SPIKE_S, SPIKES_APART_S = (20.0, 40.0), (240.0, 480.0)
MINUTE_S = 60.0


@dataclass(slots=True)
class _Window:
    begins_s: float = 0.0
    ends_s: float = 0.0

    def has(self, at_s: float) -> bool:
        return self.begins_s <= at_s < self.ends_s


class Rhythm:
    """`rate`: posts a second in quiet times. `chance` gives numbers from 0 to 1."""

    def __init__(self, rate: float, chance: Callable[[], float]) -> None:
        self._rate, self._chance = rate, chance
        self.at_s = 0.0  # since the beginning
        self._minute = -1
        self._burst = _Window()
        self._spike = self._window(0.0, FIRST_SPIKE_S, (SPIKE_S, SPIKE_S))
        self.spikes = 0

    @property
    def is_spike(self) -> bool:
        return self._spike.has(self.at_s)

    def next_s(self) -> float:
        """When the next post comes."""
        self.at_s += 2 * self._chance() / (self._rate * self._factor())
        return self.at_s

    def _factor(self) -> float:
        if (minute := int(self.at_s / MINUTE_S)) != self._minute:
            self._minute = minute
            self._burst = self._window(minute * MINUTE_S, (0.0, MINUTE_S - BURST_S[1]), BURST_S)
        if self.at_s >= self._spike.ends_s:
            self._spike = self._window(self.at_s, SPIKES_APART_S, (SPIKE_S, SPIKE_S))
            self.spikes += 1
        return SPIKE if self.is_spike else BURST if self._burst.has(self.at_s) else 1.0

    def _window(self, after_s: float, begins: tuple[float, float], lasts: tuple[float, float]) -> _Window:
        begins_s = after_s + self._between(*begins)
        return _Window(begins_s, begins_s + self._between(*lasts))

    def _between(self, least: float, most: float) -> float:
        return least + (most - least) * self._chance()
