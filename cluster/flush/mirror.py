"""The flusher's own copy of every poll, kept up by what changed.

A document holds all of a poll's results, but copying 100,000 of them on the node's loop each second would hold up votes
for as long. So the loop only notes which options and polls changed, and hands over the changed numbers, a bounded slice
a turn. Each slice is exact at one version: what changed while the flusher asked is added to what it asked for.

`Changes` lives on the loop, `Mirror` on the flusher's thread; between them go plain values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from quorate.cluster.fsm import Applied, PollView, StateMachine
from quorate.sinks.sink import PollDocument

# What is copied in one turn of the loop, a few milliseconds: numbers, and for each poll as much as twenty of them.
VALUES_PER_TURN = 20_000
VALUES_A_POLL = 20

Sized = tuple[str, int]  # a poll's id and how many options it has
# What of a copy is behind: these options, or (None) all of it. An empty set: the copy is right, the sink is behind.
Behind = set[str] | None


@dataclass(frozen=True, slots=True)
class ChangedNames:
    """What changed since the last time, by name."""

    version: int
    options: Sequence[str]
    polls: Sequence[Sized]


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """A poll of which some is asked for; `known` are the options it had when it was last copied."""

    id: str
    behind: Behind
    known: AbstractSet[str]


@dataclass(frozen=True, slots=True)
class Part:
    """Of one poll: all of it, or the results asked for."""

    view: PollView
    results: Mapping[str, int]
    whole: bool
    initial_results: Mapping[str, int] | None = None  # with the whole of an imported poll


@dataclass(frozen=True, slots=True)
class Slice:
    """Some polls, exact at `version`."""

    version: int
    time_ms: int
    parts: Sequence[Part]


class Changes:
    """What was applied since the flusher last took it. On the loop."""

    def __init__(self) -> None:
        self._options: set[str] = set()
        self._polls: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._options or self._polls)

    def add(self, applied: Applied) -> None:
        self._options.update(applied.options)
        self._polls.update(applied.polls)

    def take(self, state: StateMachine) -> ChangedNames:
        options, polls = self._options, self._polls
        self._options, self._polls = set(), set()
        views = (view for view in map(state.poll, polls) if view is not None)
        return ChangedNames(state.version, tuple(options), [(view.id, len(view.options)) for view in views])

    def copy(self, state: StateMachine, asked: Sequence[CopyRequest]) -> Slice:
        return Slice(state.version, state.time_ms, [self._part(state, one) for one in asked])

    def _part(self, state: StateMachine, asked: CopyRequest) -> Part:
        view = state.poll(asked.id)
        assert view is not None, "polls are never forgotten"
        if asked.behind is None or asked.id in self._polls:
            return Part(view, state.results(view.id) or {}, True, state.initial_results(view.id))
        # Of a set and a dict's keys, & walks the smaller one.
        return Part(view, state.results_of(view.id, asked.behind | (self._options & asked.known)) or {}, False)


class Mirror:
    """The copies, and how far each is behind. On the flusher's thread."""

    def __init__(self, polls: Sequence[Sized]) -> None:
        self._sizes = dict(polls)
        self._behind: dict[str, Behind] = dict.fromkeys(self._sizes)
        self._views: dict[str, PollView] = {}
        self._results: dict[str, dict[str, int]] = {}
        self._initial_results: dict[str, Mapping[str, int] | None] = {}
        self._left_out: set[str] = set()

    @property
    def behind(self) -> int:
        """How many polls the sink is behind by."""
        return len(self._behind)

    def poll_changed(self, id: str, size: int) -> None:
        self._sizes[id] = size
        if id not in self._left_out:
            self._behind[id] = None

    def option_changed(self, id: str, option: str) -> None:
        if id in self._left_out or id not in self._sizes:  # made a moment ago: it comes with the next changes
            return
        behind = self._behind.setdefault(id, set() if id in self._views else None)
        if behind is not None:
            behind.add(option)

    def write_again(self, id: str) -> None:
        """Also one that was left out."""
        self._left_out.discard(id)
        if id in self._sizes:
            self._behind.setdefault(id, set() if id in self._views else None)

    def write_all_again(self) -> None:
        for id in self._sizes:
            self.write_again(id)

    def written(self, id: str) -> None:
        """The sink has what was copied last."""
        self._behind.pop(id, None)

    def leave_out(self, id: str) -> None:
        """Whatever changes in it, do not write this poll before `write_again`."""
        self._left_out.add(id)
        self._behind.pop(id, None)
        self._views.pop(id, None)
        self._results.pop(id, None)

    def next_slice(self) -> list[CopyRequest]:
        """What to ask for next: polls that are behind, up to a bounded number of values, at least one poll."""
        asked: list[CopyRequest] = []
        values = 0
        for id, behind in self._behind.items():
            values += VALUES_A_POLL + (self._sizes[id] if behind is None else len(behind))
            if asked and values > VALUES_PER_TURN:
                break
            asked.append(CopyRequest(id, behind, self._results.get(id, {}).keys()))
        return asked

    def update(self, copied: Slice) -> list[PollDocument]:
        """Take in a slice; the documents of its polls, exact at its version."""
        for part in copied.parts:
            id = part.view.id
            self._views[id] = part.view
            if part.whole:
                self._results[id], self._initial_results[id] = dict(part.results), part.initial_results
            else:
                self._results[id].update(part.results)
            self._behind[id] = set()
        return [self._document(part.view, copied) for part in copied.parts]

    def _document(self, view: PollView, copied: Slice) -> PollDocument:
        return PollDocument(
            id=view.id,
            title=view.title,
            options=view.options,
            results=self._results[view.id],
            state=view.state,
            version=copied.version,
            updated_ms=copied.time_ms,
            write_ins=view.write_ins,
            closes_at_ms=view.closes_at_ms,
            initial_results=self._initial_results[view.id],
        )
