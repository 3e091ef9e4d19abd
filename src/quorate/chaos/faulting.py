"""Carries out a schedule: begins faults and ends them, mends everything from time to time, and tells what it does.

It runs in the thread that started the nodes, and is told to stop by an event. When `run` returns, no fault is active.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from quorate.chaos.history import Fault, Phase
from quorate.chaos.nemeses.nemesis import ActiveFault, Nemesis, NotNow
from quorate.chaos.schedule import Step, steps
from quorate.errors import QuorateError
from quorate.processes.node import EndedAtStart
from quorate.processes.waiting import NeverHappened

TROUBLES = (NeverHappened, EndedAtStart, OSError, QuorateError)  # with a fault itself: the run goes on without it


class Mendable(Protocol):
    def start_stopped(self) -> None:
        """Start each node that does not run. They need not be ready."""

    def heal(self) -> None:
        """End every fault, start every node, and wait until the cluster is whole. Raises `NeverHappened`."""


C = TypeVar("C", bound=Mendable)


@dataclass(frozen=True, slots=True)
class BrokenNow:
    """A fault that is active."""

    number: int
    name: str
    since: float
    victims: Sequence[str]
    words: str


class Faulting(Generic[C]):
    """`told` gets each beginning and each end, in this thread."""

    def __init__(
        self,
        cluster: C,
        nemeses: Mapping[str, Nemesis[C]],
        *,
        seed: int,
        now: Callable[[], float],
        told: Callable[[Fault], None],
        stopping: threading.Event,
        stretch: float = 1.0,
    ) -> None:
        self._cluster, self._nemeses = cluster, nemeses
        self._seed, self._now, self._told, self._stopping = seed, now, told, stopping
        self._stretch = stretch  # of how long faults last
        self._active: dict[int, tuple[ActiveFault, BrokenNow]] = {}
        self._begun = 0
        self.by_name: Counter[str] = Counter()  # faults that began
        self.put_off: Counter[str] = Counter()  # faults that made no sense at their moment
        self.troubles: list[str] = []  # what went wrong with faults themselves
        self.is_healing = False

    def broken(self) -> list[BrokenNow]:
        """From any thread."""
        return [broken for _, broken in list(self._active.values())]

    def run(self, until: float) -> None:
        """Until that moment of the run, or until told to stop. Raises `NeverHappened` if the cluster does not mend."""
        for step in steps(self._seed, list(self._nemeses), self._stretch):
            if self._rest(step.pause_s, until):
                break
            self._cluster.start_stopped()  # whoever stopped itself, but only when its disk was well again
            try:
                self._take(step, until)
            finally:
                for number in list(self._active):
                    self._end(number)
            if step.heals:
                self.heal()

    def heal(self) -> None:
        self.is_healing = True
        try:
            self._cluster.heal()
        finally:
            self.is_healing = False

    def _take(self, step: Step, until: float) -> None:
        begun_s, first, second = time.monotonic(), self._begin(step.name, step.seed), None
        passed_s = time.monotonic() - begun_s if first is not None else 0.0
        if (beside := step.beside) is not None:
            if self._rest(max(0.0, beside.after_s - passed_s), until):
                return
            second = self._begin(beside.name, beside.seed)
            ended_early = self._rest(beside.lasts_s if second is not None else 0.0, until)
            if second is not None and self._active[second][0].needs_others:
                self._end(first)
            self._end(second)
            if ended_early:
                return
        if first is not None:
            self._rest(step.lasts_s - (time.monotonic() - begun_s), until)

    def _begin(self, name: str, seed: int) -> int | None:
        at = self._now()
        try:
            fault = self._nemeses[name].begin(self._cluster, random.Random(seed))
        except NotNow:
            self.put_off[name] += 1
            return None
        except TROUBLES as error:
            self._note_trouble(name, "did not begin", error)
            return None
        self._begun += 1
        self.by_name[name] += 1
        broken = BrokenNow(self._begun, name, at, list(fault.victims), fault.words)
        self._active[self._begun] = fault, broken
        self._tell("begin", at, broken)
        return self._begun

    def _end(self, number: int | None) -> None:
        if number is None or number not in self._active:
            return
        fault, broken = self._active[number]
        try:
            fault.end()
        except TROUBLES as error:
            self._note_trouble(broken.name, "did not end", error)
        del self._active[number]
        self._tell("end", self._now(), broken)

    def _tell(self, phase: Phase, at: float, broken: BrokenNow) -> None:
        self._told(Fault(at, broken.number, broken.name, phase, list(broken.victims), broken.words))

    def _note_trouble(self, name: str, what: str, error: Exception) -> None:
        self.troubles.append(f"{name} {what}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")

    def _rest(self, seconds: float, until: float) -> bool:
        """Wait. Whether the run is over."""
        left_s = until - self._now()
        return self._stopping.wait(max(0.0, min(seconds, left_s))) or self._now() >= until
