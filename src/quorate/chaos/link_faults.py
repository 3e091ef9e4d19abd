"""What can be wrong between nodes, and what is wrong now, whatever the network is made of.

Nemeses see this alone. `proxies/` has the network of relays, `namespaces/` that of the kernel. Each carries out what
holds in its own way, and says what it cannot do.
"""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping

from quorate.chaos.toxics import SOUND, Toxics, Way, together


class LinkFaults(ABC):
    """Several disturbances may hold at once. Any thread may call it."""

    def __init__(self) -> None:
        self._disturbances: dict[int, Mapping[Way, Toxics]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._in_order = threading.Lock()  # what was asked for last is carried out last

    @abstractmethod
    def _carry_out(self, now: Mapping[Way, Toxics]) -> None:
        """From now on these toxics hold, and no others. One call at a time."""

    def missing(self, toxics: Toxics) -> str | None:
        """Why this network cannot do that, as a sentence. None: it can."""
        return None

    # ---- what is wrong ----------------------------------------------------------------------------------------------

    def disturb(self, toxics: Mapping[Way, Toxics]) -> Callable[[], None]:
        """From now on these toxics hold too. What is returned takes them away again; it may be called twice."""
        number = next(self._numbers)
        self._change(number, dict(toxics))
        return lambda: self._change(number, None)

    def cut(self, some: Iterable[str], others: Iterable[str], *, one_way: bool = False) -> Callable[[], None]:
        """Let nothing through from any of `some` to any of `others`, and unless it is `one_way` not back either."""
        pairs = [(a, b) for a in some for b in others if a != b]
        ways = pairs if one_way else [*pairs, *((b, a) for a, b in pairs)]
        return self.disturb(dict.fromkeys(ways, Toxics(down=True)))

    def heal(self) -> None:
        """Take all disturbances away."""
        with self._in_order:
            with self._lock:
                self._disturbances.clear()
            self._carry_out({})

    def _change(self, number: int, toxics: Mapping[Way, Toxics] | None) -> None:
        with self._in_order:
            with self._lock:
                if toxics is not None:
                    self._disturbances[number] = toxics
                elif self._disturbances.pop(number, None) is None:
                    return
                now = _at_once(list(self._disturbances.values()))
            self._carry_out(now)

    # ---- how it is now ----------------------------------------------------------------------------------------------

    def ways(self, some: Iterable[str], others: Iterable[str]) -> list[Way]:
        """Both directions between each of `some` and each of `others`."""
        return list(dict.fromkeys(way for a in some for b in others if a != b for way in ((a, b), (b, a))))

    def is_silent(self, source: str, goal: str) -> bool:
        """Whether nothing gets from one node to the other now."""
        with self._lock:
            found = [each.get((source, goal), SOUND) for each in self._disturbances.values()]
        return any(toxics.down or toxics.timeout_s is not None for toxics in found)

    def reached_by(self, node: str, among: Iterable[str]) -> set[str]:
        """The nodes with which this one can speak in both directions."""
        others = (other for other in among if other != node)
        return {other for other in others if not (self.is_silent(node, other) or self.is_silent(other, node))}


def _at_once(disturbances: Iterable[Mapping[Way, Toxics]]) -> dict[Way, Toxics]:
    listed = list(disturbances)
    ways = dict.fromkeys(way for each in listed for way in each)
    return {way: together(each[way] for each in listed if way in each) for way in ways}
