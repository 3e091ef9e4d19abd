"""Where votes are counted: options, and totals that cost O(1) a vote.

A vote that names no poll adds to one total T of its option, however many open polls list the option. An open poll shows
`base` + T for an option, any other poll shows `base`. Opening a poll subtracts T from its `base` and closing adds T, so
a poll counts only the votes that came while it was open. Votes that name the poll go to `base` directly, and so do
initial results. A write-in poll takes any option, but only votes that name the poll.

One number, `counted`, bounds every total: the sum of everything counted or imported stays at or below 2^63-1. With a
deleted poll its initial results leave it, and all votes of a write-in poll. Other votes stay: polls may share them.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add, sub

from quorate.cluster.entry import Choice, State
from quorate.cluster.state.tombstones import Tombstones
from quorate.vote import TOTAL_MAX

DIRECT = -1  # in place of a column: for a vote that names its poll
COPIED_MAX = 20  # totals for each option of a poll; to copy more takes longer than to add up those of its options
LISTINGS_MAX = 2_000_000  # options of all polls together. This bounds a node's memory: each costs about 200 bytes


@dataclass(slots=True)
class Poll:
    id: str
    title: str
    state: State
    closes_at_ms: int | None
    write_ins: bool
    created_ms: int
    version: int  # when its state, title, closing time or options last changed
    definition: bytes  # hash of the command that created it: tells the same poll from another one of its id
    names: list[str]
    base: array[int]  # int64 an option: see above
    shared: array[int]  # uint32 an option: its place in the tally's columns; empty in a write-in poll
    # int64 an option: what it was imported with. Options that were added since then have none.
    initial_results: array[int] | None = None
    creation: int = 0  # the number of its creation; 0 if that was at level 0
    again: bool = False  # its id was that of a deleted poll: votes count only if their proposer knew this poll
    since_ms: int = 0  # messages that are older were not meant for this poll
    text_bytes: int = 0
    place: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Columns:
    """A copy of a poll's columns at one version, from which its results can be made in steps.

    For 100,000 options the copy takes 0.3 ms, and making the results 20 ms.
    """

    names: list[str]
    base: array[int]
    shared: array[int]  # empty: `base` is all
    totals: array[int]

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, start: int, end: int) -> Iterable[tuple[str, int]]:
        return zip(*self.piece(start, end), strict=True)

    def piece(self, start: int, end: int) -> tuple[list[str], list[int]]:
        """Some options, and their votes."""
        counts, shares = self.base[start:end], map(self.totals.__getitem__, self.shared[start:end])
        return self.names[start:end], [*map(add, counts, shares)] if self.shared else counts.tolist()


class Tally:
    """Every option and poll, and what was counted for it. Both stay until the poll is deleted."""

    def __init__(self, tombstones: Tombstones | None = None) -> None:
        self.version = 0  # of the entry that is being applied
        self.time_ms = 0
        self.tombstones = Tombstones() if tombstones is None else tombstones
        self.creations = 0  # how many numbers were given to polls
        self.newest_again = 0  # the highest number of a poll that took the name of a deleted one
        self.seen = 0  # what the proposer of the batch that is being applied knew of these
        self.refuses_hidden = False  # from feature level 1 on: no new option has characters that nobody sees
        self.polls: dict[str, Poll] = {}
        self.counted = 0
        self.listings = 0
        self.index: dict[str, int] = {}  # option -> its place in the columns below
        self.names: list[str] = []
        self.totals = array("q")  # T: votes that named no poll
        self.opens = array("I")  # how many open polls list the option
        self.holders: list[tuple[str, ...] | list[str]] = []  # the polls in any state that list the option
        self.free: list[int] = []  # a heap of places whose options no poll lists any more; their names are empty
        self.changed_options: set[str] = set()
        self.changed_polls: set[str] = set()

    def take_changes(self) -> tuple[set[str], set[str]]:
        """What changed since the last call: (options whose total T changed, polls that changed otherwise)."""
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
        """`count` for many votes: how many there are for each choice. `places` comes from `Admission.places_of`."""
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
        """Take in a poll that was just created or restored. Its columns have as many items as it has names."""
        poll.place = dict(zip(poll.names, range(len(poll.names)), strict=True))
        self.polls[poll.id] = poll
        self.newest_again = max(self.newest_again, poll.creation if poll.again else 0)
        self.listings += len(poll.names)
        if poll.write_ins:
            poll.text_bytes = len("".join(poll.names).encode())
            return
        self._list(poll, poll.shared)

    def add_options(self, poll: Poll, options: Sequence[str]) -> None:
        """Give a poll options that it does not have yet. They start from zero."""
        poll.place.update(zip(options, range(len(poll.names), len(poll.names) + len(options)), strict=True))
        poll.names.extend(options)
        self.listings += len(options)
        if poll.write_ins:
            poll.base.frombytes(bytes(8 * len(options)))
            poll.text_bytes += len("".join(options).encode())
            return
        shared = self.share(options)
        open_now = poll.state == "open"
        poll.base.extend([-self.totals[place] for place in shared] if open_now else [0] * len(options))
        poll.shared = poll.shared + shared  # another array: a copy of the columns may still read the one before
        self._list(poll, shared)
        if open_now:
            self._count_open(shared, 1)

    def _list(self, poll: Poll, places: Iterable[int]) -> None:
        """Note that the poll lists the options at these places of the columns."""
        alone = (poll.id,)  # one tuple for all options that only this poll lists
        for shared in places:
            others = self.holders[shared]
            if isinstance(others, list):
                others.append(poll.id)
            else:
                self.holders[shared] = [*others, poll.id] if others else alone

    def remove(self, poll: Poll) -> None:
        """Take a poll away that is not open. Options that no other poll lists leave the columns."""
        del self.polls[poll.id]
        self.counted -= sum(poll.base if poll.write_ins else poll.initial_results or ())
        self.listings -= len(poll.names)
        self.changed_polls.add(poll.id)
        for place in poll.shared:
            holders = self.holders[place]
            if isinstance(holders, list) and len(holders) > 1:
                holders.remove(poll.id)  # thousands of polls may list it
                continue
            del self.index[self.names[place]]
            self.names[place], self.totals[place], self.holders[place] = "", 0, ()
            heapq.heappush(self.free, place)
        self._trim()

    def _trim(self) -> None:
        """Drop the free places at the end of the columns, so that an emptied cluster has small snapshots again."""
        end = len(self.names)
        while end and not self.names[end - 1]:
            end -= 1
        if end < len(self.names):
            for column in (self.names, self.totals, self.opens, self.holders):
                del column[end:]
            self.free = [place for place in self.free if place < end]
            heapq.heapify(self.free)

    def is_unseen(self, poll: Poll) -> bool:
        """Whether the proposer of this batch may have meant the poll that had this id before."""
        return poll.again and poll.creation > self.seen

    def creation_of(self, id: str) -> int:
        """The number of the poll that has this id now, or had it last. 0 if none is known."""
        poll = self.polls.get(id)
        if poll is not None:
            return poll.creation
        stone = self.tombstones.get(id)
        return 0 if stone is None else stone.creation

    def restore_columns(self, names: Sequence[str], totals: bytes) -> None:
        """Take in the columns of a snapshot. Free places have no name there."""
        self.share([*names])
        if "" in self.index:
            del self.index[""]
            self.free = [place for place, name in enumerate(names) if not name]
        self.totals = array("q", totals)

    def restore(self, poll: Poll) -> None:
        """Take in a poll of a snapshot. T has been subtracted from the `base` of an open poll already."""
        self.add(poll)
        if poll.state == "open":
            self._count_open(poll.shared, 1)

    def share(self, options: Sequence[str]) -> array[int]:
        """The places of these options in the columns. New options get free places, the lowest first, or new ones."""
        new = [option for option in options if option not in self.index]
        if self.free:
            new = self._take_free_places(new)
        self.index.update(zip(new, range(len(self.names), len(self.names) + len(new)), strict=True))
        self.names.extend(new)
        self.totals.frombytes(bytes(8 * len(new)))
        self.opens.frombytes(bytes(4 * len(new)))
        self.holders.extend([()] * len(new))
        return array("I", map(self.index.__getitem__, options))

    def _take_free_places(self, options: list[str]) -> list[str]:
        """Returns the options for which there is no free place."""
        some = min(len(options), len(self.free))
        for option in options[:some]:
            place = heapq.heappop(self.free)
            self.index[option], self.names[place] = place, option
        return options[some:]

    def open(self, poll: Poll) -> None:
        """Count T in the poll from now on."""
        poll.base = array("q", map(sub, poll.base, self._totals_of(poll))) if poll.shared else poll.base
        self._count_open(poll.shared, 1)

    def close(self, poll: Poll) -> None:
        """Keep T as it is now for the poll. Later votes do not count in it."""
        poll.base = array("q", map(add, poll.base, self._totals_of(poll))) if poll.shared else poll.base
        self._count_open(poll.shared, -1)

    def _count_open(self, places: Iterable[int], step: int) -> None:
        opens = self.opens
        for shared in places:
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
        if poll.state != "open" or not poll.shared:
            return Columns(poll.names.copy(), poll.base[:], array("I"), array("q"))
        if len(self.totals) > COPIED_MAX * len(poll.shared):
            results = array("q", map(add, poll.base, self._totals_of(poll)))
            return Columns(poll.names.copy(), results, array("I"), array("q"))
        return Columns(poll.names.copy(), poll.base[:], poll.shared, self.totals[:])

    def results_of(self, poll: Poll, options: Iterable[str]) -> dict[str, int]:
        shares = poll.state == "open" and poll.shared
        counts = {}
        for option in options:
            place = poll.place.get(option)
            if place is not None:
                counts[option] = poll.base[place] + (self.totals[poll.shared[place]] if shares else 0)
        return counts
