"""A second judge for small histories, which shares nothing with the checkers: it searches all orders of the operations.

This is the algorithm of Wing and Gong, with Lowe's memory of what was tried. An order must keep real time (what ended
before another began stands before it), and each operation must get, from a model that counts votes one after the other,
the answer that it got. An operation without an answer stands anywhere after its beginning, or nowhere.

The model knows versions. Operations of one version stand together: an entry. None of them began after another one of
them had ended. A read stands at the end of its version's entry. If it may be stale, it may stand before its own
beginning, but not after its end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from quorate.chaos.history import Cast, PollChange, PollPlan, Read, Record, SinkLook

ALWAYS, NOT_YET = -1.0, float("inf")


@dataclass(frozen=True)
class Model:
    version: int = 0
    is_over: bool = False  # a read saw the entry of this version: nothing more is in it
    first_end: float = NOT_YET  # of the operations in this entry
    counted: frozenset[str] = frozenset()  # ids and keys
    tallies: tuple[tuple[tuple[str, str], int], ...] = ()
    open: frozenset[str] = frozenset()

    def results(self, poll: str) -> dict[str, int]:
        return {option: total for (of, option), total in self.tallies if of == poll and total}

    def in_entry(self, version: int, begun: float, ended: float) -> Model | None:
        """This state, with an operation of that version about to be applied."""
        if version < self.version or (version == self.version and (self.is_over or begun > self.first_end)):
            return None
        if version == self.version:
            return replace(self, first_end=min(self.first_end, ended))
        return replace(self, version=version, is_over=False, first_end=ended)


@dataclass
class Step:
    record: Any
    begun: float
    ended: float
    version: int | None
    must: bool  # it has an answer


@dataclass
class AllOrders:
    records: Sequence[Record]
    plans: dict[str, PollPlan] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    tried: set[tuple[int, Model]] = field(default_factory=set)

    def is_right(self) -> bool:
        """Whether an order exists."""
        sys.setrecursionlimit(10_000)
        for record in self.records:
            self._take(record)
        return self._search((1 << len(self.steps)) - 1, Model())

    def _take(self, record: Record) -> None:
        if isinstance(record, PollPlan):
            self.plans[record.id] = record
        elif isinstance(record, SinkLook):
            self.steps.append(Step(record, ALWAYS, record.until, record.version, True))
        elif isinstance(record, Read):
            begun = record.begun if record.level == "linearizable" else ALWAYS
            if record.outcome == "ok":
                self.steps.append(Step(record, begun, record.ended or NOT_YET, record.version, True))
        elif isinstance(record, Cast | PollChange) and record.outcome != "fail":
            has_answer = record.outcome == "ok"
            ended = record.ended if has_answer and record.ended is not None else NOT_YET
            self.steps.append(Step(record, record.begun, ended, record.version if has_answer else None, has_answer))

    def _search(self, left: int, model: Model) -> bool:
        steps = [(at, step) for at, step in enumerate(self.steps) if left >> at & 1]
        musts = [step for _, step in steps if step.must]
        if not musts:
            return True
        if (left, model) in self.tried or any(
            step.version is not None and step.version < model.version for step in musts
        ):
            return False
        self.tried.add((left, model))
        first_end = min(step.ended for step in musts)
        return any(
            self._search(left & ~(1 << at), after)
            for at, step in steps
            if step.begun <= first_end
            for after in self._after(model, step)
        )

    def _after(self, model: Model, step: Step) -> Iterator[Model]:
        record = step.record
        versions = [step.version] if step.version is not None else [model.version, model.version + 1]
        if isinstance(record, Read | SinkLook):
            yield from self._read(model, step)
            return
        for version in versions:
            inside = model.in_entry(version, step.begun, step.ended)
            if inside is None:
                continue
            after, answer = self._cast(inside, record) if isinstance(record, Cast) else self._change(inside, record)
            if answer is None or not step.must or answer == _told(record, answer):
                yield after

    def _read(self, model: Model, step: Step) -> Iterator[Model]:
        record, version = step.record, step.version or 0
        if version < model.version:
            return
        if version > model.version:
            model = replace(model, version=version, first_end=NOT_YET)
        results = {option: total for option, total in record.results.items() if total}
        state = getattr(record, "state", "")
        if results == model.results(record.poll) and state in ("", ("closed", "open")[record.poll in model.open]):
            yield replace(model, is_over=True, first_end=min(model.first_end, step.ended))

    def _change(self, model: Model, change: PollChange) -> tuple[Model, None]:
        opened = model.open | {change.poll} if change.to == "open" else model.open - {change.poll}
        return replace(model, open=opened), None

    def _cast(self, model: Model, cast: Cast) -> tuple[Model, tuple[int, int, list[tuple[int, str]]]]:
        applied, duplicates = 0, 0
        rejected: list[tuple[int, str]] = []
        tallies, counted = dict(model.tallies), set(model.counted)
        for index, vote in enumerate(cast.votes):
            if vote.id is not None and vote.id in counted:
                duplicates += 1
                continue
            polls = [vote.poll] if vote.poll is not None else list(self.plans)
            where = [poll for poll in polls if poll in model.open]
            if not where:
                rejected.append((index, "closed"))
                continue
            applied += 1
            counted |= {vote.id} if vote.id is not None else set()
            for poll in where:
                tallies[poll, vote.option] = tallies.get((poll, vote.option), 0) + vote.weight
        after = replace(model, tallies=tuple(sorted(tallies.items())), counted=frozenset(counted))
        return after, (applied, duplicates, rejected)


def _told(cast: Cast, answer: tuple[int, int, list[tuple[int, str]]]) -> tuple[int, int, list[tuple[int, str]]]:
    """What the answer to a request says, by the model's words where it does not tell new ids from known ones."""
    if cast.counted and cast.counted == answer[0] + answer[1]:
        return answer[0], answer[1], cast.rejected
    return cast.applied, cast.duplicates, cast.rejected
