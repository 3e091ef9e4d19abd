"""The flusher's own copy of every poll, kept up by what changed.

A document holds all results of a poll. To copy 100,000 of them on the node's loop each second would hold up votes for
as long as the copy takes. So the loop only notes the names of the options and polls that changed, and hands over the
changed numbers in bounded slices, one a turn. Each slice is exact at one version: what changed since the names were
taken is added to what is asked for.

`Changes` lives on the loop, `Mirror` on the flusher's thread. Between them go plain values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from quorate.cluster.fsm import Applied, PollView, StateMachine
from quorate.sinks.sink import PollDocument

# What is copied in one turn of the loop, which takes a few milliseconds. A poll counts as much as twenty numbers.
VALUES_PER_TURN = 20_000
VALUES_A_POLL = 20
CHECKED_MAX = 200  # polls whose documents are compared at a time

Sized = tuple[str, int]  # a poll's id and how many options it has
# What is out of date in a copy: these options, or all of it (None). Empty set: the copy is right, the sink is behind.
Behind = set[str] | None


@dataclass(frozen=True, slots=True)
class ChangedNames:
    """The names of what changed since the last time."""

    version: int
    options: Sequence[str]
    polls: Sequence[Sized]


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """What the flusher wants to have of one poll. `known` are the options it had when it was last copied."""

    id: str
    behind: Behind
    known: AbstractSet[str]


@dataclass(frozen=True, slots=True)
class PollSlice:
    """One poll's share of a slice: all of the poll, or the results that were asked for."""

    view: PollView
    results: Mapping[str, int]
    whole: bool
    initial_results: Mapping[str, int] | None = None  # if all of an imported poll was asked for


@dataclass(frozen=True, slots=True)
class Slice:
    """Some polls, exact at `version`."""

    version: int
    time_ms: int
    polls: Sequence[PollSlice]


class Changes:
    """The names of what was applied since the flusher last took them. On the loop."""

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

    def copy(self, state: StateMachine, requests: Sequence[CopyRequest]) -> Slice:
        return Slice(state.version, state.time_ms, [self._slice_of(state, request) for request in requests])

    def _slice_of(self, state: StateMachine, request: CopyRequest) -> PollSlice:
        view = state.poll(request.id)
        assert view is not None, "polls are never forgotten"
        if request.behind is None or request.id in self._polls:
            return PollSlice(view, state.results(view.id) or {}, True, state.initial_results(view.id))
        # `&` of a set and a dict's keys walks the smaller of the two.
        options = request.behind | (self._options & request.known)
        return PollSlice(view, state.results_of(view.id, options) or {}, False)


class Mirror:
    """The copies, and what is out of date in each. On the flusher's thread."""

    def __init__(self, polls: Sequence[Sized]) -> None:
        self._sizes = dict(polls)
        self._behind: dict[str, Behind] = dict.fromkeys(self._sizes)
        self._views: dict[str, PollView] = {}
        self._results: dict[str, dict[str, int]] = {}
        self._initial_results: dict[str, Mapping[str, int] | None] = {}
        self._left_out: set[str] = set()
        self._written_as: dict[str, str | None] = {}  # poll id -> the fence of its last write; None: deleted since
        self._unchecked: list[str] = []  # polls that are to be checked before one is checked again

    @property
    def behind(self) -> int:
        """How many polls are out of date in the sink."""
        return len(self._behind)

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many options each poll has."""
        return self._sizes

    def poll_changed(self, id: str, size: int) -> None:
        self._sizes[id] = size
        if id not in self._left_out:
            self._behind[id] = None

    def option_changed(self, id: str, option: str) -> None:
        if id in self._left_out or id not in self._sizes:  # the poll is new: it comes with the next changes
            return
        behind = self._behind.setdefault(id, set() if id in self._views else None)
        if behind is not None:
            behind.add(option)

    def write_again(self, id: str) -> None:
        """Write this poll again, even if it was left out."""
        self._left_out.discard(id)
        if id in self._sizes:
            self._behind.setdefault(id, set() if id in self._views else None)

    def write_all_again(self) -> None:
        for id in self._sizes:
            self.write_again(id)

    def written(self, id: str, fence: str) -> None:
        """The sink stores what was copied last."""
        self._behind.pop(id, None)
        self._written_as[id] = fence

    def lost(self) -> None:
        """The sink lost what was written: write every poll again, as if for the first time."""
        self._written_as.clear()
        self.write_all_again()

    def to_check(self) -> dict[str, str | None]:
        """Some polls whose documents are due to be compared with what was written, each with its fence, or None.

        All polls come in turn.
        """
        if not self._unchecked:
            self._unchecked = list(self._written_as)
        found: dict[str, str | None] = {}
        values = 0
        while self._unchecked and len(found) < CHECKED_MAX:
            id = self._unchecked[-1]
            values += VALUES_A_POLL + self._sizes[id]
            if found and values > VALUES_PER_TURN:
                break
            self._unchecked.pop()
            if id in self._written_as and id not in self._behind:
                found[id] = self._written_as[id]
        return found

    def leave_out(self, id: str) -> None:
        """Do not write this poll before `write_again`, whatever changes in it."""
        self._left_out.add(id)
        self._written_as.pop(id, None)
        self._behind.pop(id, None)
        self._views.pop(id, None)
        self._results.pop(id, None)

    def deleted(self, id: str) -> None:
        """People deleted its document: leave it out. If they put one back, the comparison tells."""
        self.leave_out(id)
        self._written_as[id] = None

    def next_slice(self) -> list[CopyRequest]:
        """What to ask for next: polls that are behind, at least one, up to a bounded number of values."""
        requests: list[CopyRequest] = []
        values = 0
        for id, behind in self._behind.items():
            values += VALUES_A_POLL + (self._sizes[id] if behind is None else len(behind))
            if requests and values > VALUES_PER_TURN:
                break
            requests.append(CopyRequest(id, behind, self._results.get(id, {}).keys()))
        return requests

    def update(self, copied: Slice) -> list[PollDocument]:
        """Take in a slice. Returns the documents of its polls, exact at its version."""
        for poll in copied.polls:
            id = poll.view.id
            self._views[id] = poll.view
            if poll.whole:
                self._results[id], self._initial_results[id] = dict(poll.results), poll.initial_results
            else:
                self._results[id].update(poll.results)
            self._behind[id] = set()
        return [self._document(poll.view, copied) for poll in copied.polls]

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
            written_as=self._written_as.get(view.id),
        )
