"""From a schedule that fails to a minimal one: fewer steps (delta debugging), less time, fewer nodes, fewer traits.

A step that is left out changes no other step's random numbers, but it changes when messages come. So each candidate is
played with a few other delays, too, before it counts as one that does not fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tests.simulation.schedule import Schedule, Step

NETWORKS = 3
TRIES = 600

Fails = Callable[[Schedule], bool]


class Shrinking:
    def __init__(self, fails: Fails, tries: int = TRIES) -> None:
        self._fails, self.tries_left = fails, tries

    def shrink(self, schedule: Schedule) -> Schedule:
        """A schedule that fails and cannot be made smaller in one step, as far as the tries go."""
        while self.tries_left > 0:
            smaller = self._simpler(self._with_fewer_steps(schedule))
            if smaller == schedule:
                break
            schedule = smaller
        return schedule

    def _with_fewer_steps(self, schedule: Schedule) -> Schedule:
        parts = 2
        while schedule.steps:
            size = -(-len(schedule.steps) // parts)
            for at in range(0, len(schedule.steps), size):
                found = self._try(schedule, steps=schedule.steps[:at] + schedule.steps[at + size :])
                if found is not None:
                    schedule, parts = found, max(parts - 1, 2)
                    break
            else:
                if size == 1:
                    return schedule
                parts = min(len(schedule.steps), parts * 2)
        return schedule

    def _simpler(self, schedule: Schedule) -> Schedule:
        for change in _changes(schedule):
            schedule = self._try(schedule, **change) or schedule
        return schedule

    def _try(self, schedule: Schedule, **change: Any) -> Schedule | None:
        for network in range(schedule.network, schedule.network + NETWORKS):
            if self.tries_left <= 0:
                return None
            self.tries_left -= 1
            candidate = msgspec.structs.replace(schedule, **{**change, "network": network})
            if self._fails(candidate):
                return candidate
        return None


def _changes(schedule: Schedule) -> Iterator[dict[str, Any]]:
    for size in (3, 5):
        if size < len(schedule.names):
            yield {"names": schedule.names[:size]}
    yield from ({trait: False} for trait in ("polls", "stale_settings") if getattr(schedule, trait))
    yield from ({trait: 0.0} for trait in ("late", "repeated") if getattr(schedule, trait))
    last_s = max((step.at_s for step in schedule.steps), default=0.0)
    for seconds in (last_s + 0.5, last_s + 1.5):
        if seconds < schedule.seconds - 0.5:
            yield {"seconds": round(seconds, 1)}


def steps_in_words(steps: tuple[Step, ...]) -> str:
    return "\n".join(f"{step.at_s:9.3f} s  {step.what}" for step in steps) or "  no step at all"
