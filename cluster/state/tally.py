"""Where a vote that is new is counted, or told why not: options, and totals that cost O(1) a vote.

A vote that names no poll adds to one total T of its option, however many open polls list it. What a poll shows for an
option is `base` + T while it is open, and `base` otherwise: opening takes T off `base`, closing adds it, so only votes
ordered while the poll was open count in it. Votes that name the poll, and starting results, go to `base` directly.
Write-in polls take any option, and only votes that name them.

One number, `counted`, bounds every total: the sum of everything ever counted or imported stays at or below 2^63-1.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add, sub

from quorate.cluster.entry import Choice, State
from quorate.vote import TOTAL_MAX

DIRECT = -1  # instead of a place: a vote that names its poll
LISTINGS_MAX = 2_000_000  # options of all polls together: what bounds a node's memory (about 200 bytes each)


@dataclass(slots=True)
class Poll:
    id: str
    title: str
    state: State
    closes_at_ms: int | None
    write_ins: bool
    created_ms: int
    version: int  # when its state, closing time or options last changed
    definition: bytes  # hash of the command that created it: tells "the same again" from another poll
    names: list[str]
    base: array[int]  # int64 an option
    shared: array[int]  # uint32 an option: its place in the tally's columns; empty in a write-in poll
    initial_results: array[int] | None = None  # int64 an option: the results it was imported with
    text_bytes: int = 0
    place: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Columns:
    """A poll's results at one version, copied but not put together: that costs 20 ms for 100,000 options, this 0.3."""

    names: Sequence[str]
    base: array[int]
    shared: array[int]  # empty: what counts is in `base`
    totals: array[int]

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, start: int, end: int) -> Iterable[tuple[str, int]]:
        names, counts = self.names[start:end], self.base[start:end]
        shares = map(self.totals.__getitem__, self.shared[start:end])
        return zip(names, map(add, counts, shares) if self.shared else counts, strict=True)


class Tally:
    """Every option and what was counted for it. Options are never forgotten, and neither are polls."""

    def __init__(self) -> None:
        self.version = 0  # of the entry that is being applied
        self.time_ms = 0
        self.polls: dict[str, Poll] = {}
        self.counted = 0
        self.listings = 0
        self.index: dict[str, int] = {}  # option -> its place in the columns below
        self.names: list[str] = []
        self.totals = array("q")  # T: votes that named no poll
        self.opens = array("I")  # how many open polls list it
        self.holders: list[tuple[str, ...] | list[str]] = []  # the polls that list it, in any state
        self.changed_options: set[str] = set()
        self.changed_polls: set[str] = set()

    def take_changes(self) -> tuple[set[str], set[str]]:
        """(options whose totals T changed, polls changed otherwise) since the last call."""
        changes = self.changed_options, self.changed_polls
        self.changed_options, self.changed_polls = set(), set()
        return changes

    # ---- votes ------------------------------------------------------------------------------------------------------

    def fits(self, amount: int) -> bool:
        return self.counted + amount <= TOTAL_MAX

    def has_room(self, listings: int) -> bool:
        return self.listings + listings <= LISTINGS_MAX

    def count(self, choice: Choice, votes: int) -> None:
        """Add votes that were admitted (see `admission.py`)."""
        amount = votes * choice.weight
        self.counted += amount
        if choice.poll is None:
            self.totals[self.index[choice.option]] += amount
            self.changed_options.add(choice.option)
            return
        poll = self.polls[choice.poll]
        if choice.option not in poll.place:
            self._write_in(poll, choice.option)
        poll.base[poll.place[choice.option]] += amount
        self.changed_polls.add(poll.id)

    def count_at(self, places: Sequence[int | None], choices: Sequence[Choice], votes: Mapping[int, int]) -> None:
        """Like `count` for many: `votes` has how many by choice, and `places` comes from `Admission.places_of`."""
        totals, changed, counted = self.totals, self.changed_options.add, 0
        for pick, together in votes.items():
            place = places[pick]
            if place == DIRECT and together:
                self.count(choices[pick], together)
            elif place is not None and together:
                choice = choices[pick]
                totals[place] += (amount := together * choice.weight)
                counted += amount
                changed(choice.option)
        self.counted += counted

    # ---- polls ------------------------------------------------------------------------------------------------------

    def add(self, poll: Poll) -> None:
        """Take in a poll that was just created or restored; its columns fit its names."""
        poll.place = dict(zip(poll.names, range(len(poll.names)), strict=True))
        self.polls[poll.id] = poll
        self.listings += len(poll.names)
        if poll.write_ins:
            poll.text_bytes = len("".join(poll.names).encode())
            return
        alone = (poll.id,)  # shared by all options that only this poll lists
        for shared in poll.shared:
            others = self.holders[shared]
            if isinstance(others, list):
                others.append(poll.id)
            else:
                self.holders[shared] = [*others, poll.id] if others else alone

    def restore(self, poll: Poll) -> None:
        """Take in a poll of a snapshot. `base` of an open one has T taken off already."""
        self.add(poll)
        if poll.state == "open":
            self._count_open(poll, 1)

    def share(self, options: Sequence[str]) -> array[int]:
        """The places of these options in the columns, made where they are new."""
        new = [option for option in options if option not in self.index]
        self.index.update(zip(new, range(len(self.names), len(self.names) + len(new)), strict=True))
        self.names.extend(new)
        self.totals.frombytes(bytes(8 * len(new)))
        self.opens.frombytes(bytes(4 * len(new)))
        self.holders.extend([()] * len(new))
        return array("I", map(self.index.__getitem__, options))

    def open(self, poll: Poll) -> None:
        """From now on T counts in the poll."""
        poll.base = array("q", map(sub, poll.base, self._totals_of(poll))) if poll.shared else poll.base
        self._count_open(poll, 1)

    def close(self, poll: Poll) -> None:
        """T as it stands now is the poll's; what T gains later is not."""
        poll.base = array("q", map(add, poll.base, self._totals_of(poll))) if poll.shared else poll.base
        self._count_open(poll, -1)

    def _count_open(self, poll: Poll, step: int) -> None:
        opens = self.opens
        for shared in poll.shared:
            opens[shared] += step

    def _totals_of(self, poll: Poll) -> Iterable[int]:
        return map(self.totals.__getitem__, poll.shared)

    def _write_in(self, poll: Poll, option: str) -> None:
        poll.place[option] = len(poll.names)
        poll.names.append(option)
        poll.base.append(0)
        poll.text_bytes += len(option.encode())
        poll.version = self.version
        self.listings += 1

    # ---- results ----------------------------------------------------------------------------------------------------

    def results(self, poll: Poll) -> dict[str, int]:
        shares = poll.state == "open" and poll.shared
        counts = map(add, poll.base, self._totals_of(poll)) if shares else poll.base
        return dict(zip(poll.names, counts, strict=True))

    def columns(self, poll: Poll) -> Columns:
        if poll.state == "open" and poll.shared:
            return Columns(poll.names.copy(), poll.base[:], poll.shared, self.totals[:])
        return Columns(poll.names.copy(), poll.base[:], array("I"), array("q"))

    def results_of(self, poll: Poll, options: Iterable[str]) -> dict[str, int]:
        shares = poll.state == "open" and poll.shared
        counts = {}
        for option in options:
            place = poll.place.get(option)
            if place is not None:
                counts[option] = poll.base[place] + (self.totals[poll.shared[place]] if shares else 0)
        return counts
