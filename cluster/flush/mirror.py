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
from typing import NamedTuple

from quorate.cluster.fsm import Applied, PollView, StateMachine, Tombstone
from quorate.cluster.state.tally import Columns
from quorate.sinks.sink import PollDocument

# What is copied in one turn of the loop, which takes two milliseconds. A poll counts as much as twenty numbers.
VALUES_PER_TURN = 10_000
VALUES_A_POLL = 20
VALUES_AT_ONCE = 1_000  # of one poll; of more the columns are copied, and read so many in one step
CHECKED_MAX = 200  # polls whose documents are compared at a time


class Sized(NamedTuple):
    """A poll's id and how many options it has."""

    id: str
    size: int
    creation: int = 0  # tells it from an earlier poll of its id
    again: bool = False  # there was an earlier one, whose document may stand in the sink


def sized(poll: PollView) -> Sized:
    return Sized(poll.id, len(poll.options), poll.creation, poll.again)


# What is out of date in a copy: these options, or all of it (None). Empty set: the copy is right, the sink is behind.
Behind = set[str] | None


@dataclass(frozen=True, slots=True)
class ChangedNames:
    """The names of what changed since the last time."""

    version: int
    options: Sequence[str]
    polls: Sequence[Sized]
    deleted: Sequence[Tombstone]  # there may be new polls of these ids
    gone: Sequence[str]  # the ids without a poll


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """What the flusher wants to have of one poll. `known` are the options it had when it was last copied."""

    id: str
    behind: Behind
    known: AbstractSet[str]


@dataclass(frozen=True, slots=True)
class PollSlice:
    """One poll's share of a slice: all of the poll, or the results that were asked for.

    Of very many options it has the columns: to copy these is a matter of a moment, and the thread reads them.
    """

    view: PollView
    results: Mapping[str, int] | Columns
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
        deleted = [stone for stone in map(state.tombstone, polls) if stone is not None]
        gone = [id for id in polls if state.poll(id) is None]
        return ChangedNames(state.version, tuple(options), [*map(sized, views)], deleted, gone)

    def copy(self, state: StateMachine, requests: Sequence[CopyRequest]) -> Slice:
        """Polls that were deleted meanwhile are left out: the next changes tell of them."""
        slices = [self._slice_of(state, request) for request in requests]
        return Slice(state.version, state.time_ms, [each for each in slices if each is not None])

    def _slice_of(self, state: StateMachine, request: CopyRequest) -> PollSlice | None:
        view = state.poll(request.id)
        if view is None:
            return None
        if request.behind is None or request.id in self._polls:
            return PollSlice(view, _all_of(state, view), True, state.initial_results(view.id))
        # `&` of a set and a dict's keys walks the smaller of the two.
        options = request.behind | (self._options & request.known)
        if len(options) > VALUES_AT_ONCE:
            return PollSlice(view, _all_of(state, view), False)
        return PollSlice(view, state.results_of(view.id, options) or {}, False)


class Mirror:
    """The copies, and what is out of date in each. On the flusher's thread."""

    def __init__(self, polls: Sequence[Sized]) -> None:
        self._sizes = {poll.id: poll.size for poll in polls}
        self._creations = {poll.id: poll.creation for poll in polls}
        self._again = {poll.id for poll in polls if poll.again}
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
        """How many options each poll has, if the document that stands in the sink is its own for certain."""
        if not self._again:
            return self._sizes
        doubtful = {id for id in self._again if self._written_as.get(id) is None}
        return {id: size for id, size in self._sizes.items() if id not in doubtful}

    def has(self, id: str) -> bool:
        return id in self._sizes

    def is_of(self, poll: PollView) -> bool:
        """Whether this is the poll that the mirror knows by this id, and no other one."""
        return self._creations.get(poll.id) == poll.creation

    def poll_changed(self, poll: Sized) -> None:
        id = poll.id
        if self._creations.get(id, poll.creation) != poll.creation:
            self.remove(id)  # it is another poll
        self._sizes[id], self._creations[id] = poll.size, poll.creation
        if poll.again:
            self._again.add(id)
        if id not in self._left_out:
            self._behind[id] = None

    def remove(self, id: str) -> None:
        """The poll was deleted."""
        self.leave_out(id)
        self._left_out.discard(id)
        self._again.discard(id)
        for each in (self._sizes, self._creations, self._initial_results):
            each.pop(id, None)

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
            values += VALUES_A_POLL + self._sizes.get(id, 0)
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
            if self._creations.get(id) != poll.view.creation:
                self.poll_changed(sized(poll.view))
            self._views[id] = poll.view
            if poll.whole:
                self._results[id], self._initial_results[id] = {}, poll.initial_results
            _update(self._results[id], poll.results)
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
            creation=view.creation,
        )


def _all_of(state: StateMachine, poll: PollView) -> Mapping[str, int] | Columns:
    return (state.columns if len(poll.options) > VALUES_AT_ONCE else state.results)(poll.id) or {}


def _update(results: dict[str, int], copied: Mapping[str, int] | Columns) -> None:
    """The node's loop goes on meanwhile: no step of this keeps the interpreter for long."""
    if not isinstance(copied, Columns):
        results.update(copied)
        return
    for start in range(0, len(copied), VALUES_AT_ONCE):
        results.update(copied.rows(start, start + VALUES_AT_ONCE))
