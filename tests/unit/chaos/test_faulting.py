"""How a schedule is carried out: what begins, ends, and what the run is told of it."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator, Sequence

import pytest

from quorate.chaos import faulting
from quorate.chaos.faulting import Faulting
from quorate.chaos.history import Fault
from quorate.chaos.nemeses.nemesis import NotNow
from quorate.chaos.schedule import Beside, Step
from quorate.processes.waiting import NeverHappened


class Bench:
    """A cluster that only notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.started_after: list[int] = []  # so much was done

    def start_stopped(self) -> None:
        self.started_after.append(len(self.done))

    def heal(self) -> None:
        self.done.append("heal")


class Broken:
    def __init__(self, bench: Bench, name: str, *, mends: bool, needs_others: bool) -> None:
        self.victims: Sequence[str] = ["n1"]
        self.words = f"{name} is active"
        self.needs_others = needs_others
        self._bench, self._name, self._mends = bench, name, mends

    def end(self) -> None:
        self._bench.done.append(f"end {self._name}")
        if not self._mends:
            raise NeverHappened("it stays")


class Breaks:
    about = ""

    def __init__(self, name: str, *, now: bool = True, mends: bool = True, needs_others: bool = False) -> None:
        self.name, self._now, self._mends, self._needs_others = name, now, mends, needs_others

    def missing(self, cluster: Bench) -> str | None:
        return None

    def begin(self, cluster: Bench, rng: random.Random) -> Broken:
        if not self._now:
            raise NotNow("nobody leads")
        cluster.done.append(f"begin {self.name}")
        return Broken(cluster, self.name, mends=self._mends, needs_others=self._needs_others)


NEMESES = {
    "a": Breaks("a"),
    "b": Breaks("b"),
    "never": Breaks("never", now=False),
    "stays": Breaks("stays", mends=False),
    "repair": Breaks("repair", needs_others=True),
}


def run(monkeypatch: pytest.MonkeyPatch, *planned: Step) -> tuple[Bench, list[Fault], Faulting[Bench]]:
    """Carry out these steps; then the run's time is over."""
    bench, told, stopping = Bench(), list[Fault](), threading.Event()

    def then_stop(seed: int, names: Sequence[str], stretch: float) -> Iterator[Step]:
        yield from planned
        stopping.set()
        yield step("a")

    monkeypatch.setattr(faulting, "steps", then_stop)
    clock = itertools.count()
    doing = Faulting(bench, NEMESES, seed=1, now=lambda: next(clock) / 1000, told=told.append, stopping=stopping)
    doing.run(until=1000.0)
    return bench, told, doing


def step(name: str, beside: Beside | None = None, *, heals: bool = False) -> Step:
    return Step(1, 0.0, name, 0.01, 7, beside, heals)


def test_nodes_that_stopped_themselves_late_are_started_before_the_next_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node takes some seconds to stop when its disk has failed; the disk may be well again before it has."""
    bench, _, _ = run(monkeypatch, step("a"), step("b", heals=True), step("a"))
    assert ["begin a", "end a", "begin b", "end b", "heal", "begin a", "end a"] == bench.done
    assert [0, 2, 5] == bench.started_after


def test_a_fault_begins_and_ends_and_both_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, told, doing = run(monkeypatch, step("a"))
    assert ["begin a", "end a"] == bench.done
    assert [("a", "begin", 1), ("a", "end", 1)] == [(each.name, each.phase, each.number) for each in told]
    assert ["n1"] == told[0].victims
    assert told[0].at < told[1].at
    assert {"a": 1} == doing.by_name


def test_a_second_fault_begins_and_ends_while_the_first_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, _, _ = run(monkeypatch, step("a", Beside("b", 0.001, 0.001, 3)))
    assert ["begin a", "begin b", "end b", "end a"] == bench.done


def test_a_node_is_repaired_when_nothing_else_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, _, _ = run(monkeypatch, step("a", Beside("repair", 0.001, 0.001, 3)))
    assert ["begin a", "begin repair", "end a", "end repair"] == bench.done


def test_a_fault_that_makes_no_sense_now_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, told, doing = run(monkeypatch, step("never"), step("a"))
    assert ["begin a", "end a"] == bench.done
    assert 2 == len(told)
    assert {"never": 1} == doing.put_off


def test_everything_is_mended_where_the_schedule_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, _, _ = run(monkeypatch, step("a", heals=True), step("b"))
    assert ["begin a", "end a", "heal", "begin b", "end b"] == bench.done


def test_a_fault_that_does_not_end_is_told_as_a_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    _, told, doing = run(monkeypatch, step("stays"), step("a"))
    assert ["stays did not end: it stays"] == doing.troubles
    assert ["begin", "end"] * 2 == [each.phase for each in told]
    assert [] == doing.broken()
