"""Where a vote that is new is counted, or told why not: options, and totals that cost O(1) a vote.

A vote that names no poll adds to one total T of its option, however many open polls list it. What a poll shows for an
option is `own` + T while it is open, and `own` otherwise: opening takes T off `own`, closing adds it, so only votes
ordered while the poll was open count in it. Votes that name the poll, and starting results, go to `own` directly.
Write-in polls take any option, and only votes that name them.

One number, `counted`, bounds every total: the sum of everything ever counted or imported stays at or below 2^63-1.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add, sub

from quorate.cluster.entry import Choice, State
from quorate.vote import (
    OPTION_BYTES_MAX,
    OPTION_TEXT_PER_POLL_BYTES_MAX,
    OPTIONS_PER_POLL_MAX,
    TOTAL_MAX,
    WEIGHT_MAX,
    Outcome,
)

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
    own: array[int]  # int64 an option
    shared: array[int]  # uint32 an option: its place in the tally's columns; empty in a write-in poll
    starting: array[int] | None = None  # int64 an option: the results it was imported with
    text_bytes: int = 0
    place: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Columns:
    """A poll's results at one version, copied but not put together: that costs 20 ms for 100,000 options, this 0.3."""

    names: Sequence[str]
    own: array[int]
    shared: array[int]  # empty: what counts is in `own`
    totals: array[int]

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, start: int, end: int) -> Iterable[tuple[str, int]]:
        names, counts = self.names[start:end], self.own[start:end]
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

    def judge(self, choice: Choice) -> Outcome:
        """What a new vote for `choice` meets, the bound of totals aside."""
        if not 1 <= choice.weight <= WEIGHT_MAX:
            return Outcome.INVALID
        if choice.poll is None:
            shared = self.index.get(choice.option)
            if shared is None:
                return Outcome.UNKNOWN_OPTION
            return Outcome.APPLIED if self.opens[shared] else Outcome.CLOSED
        poll = self.polls.get(choice.poll)
        if poll is None:
            return Outcome.UNKNOWN_POLL
        if poll.state != "open":
            return Outcome.CLOSED
        if choice.option in poll.place:
            return Outcome.APPLIED
        return self._judge_new(poll, choice.option) if poll.write_ins else Outcome.UNKNOWN_OPTION

    def is_new(self, choice: Choice) -> bool:
        """Whether counting a choice judged APPLIED writes a new option into its poll."""
        return choice.poll is not None and choice.option not in self.polls[choice.poll].place

    def _judge_new(
        self, poll: Poll, option: str, more: int = 0, more_bytes: int = 0, more_listings: int = 0
    ) -> Outcome:
        """Whether a write-in poll has room for `option` beside others that are about to be written in."""
        size = len(option.encode())
        if not 1 <= size <= OPTION_BYTES_MAX or "\0" in option:
            return Outcome.INVALID
        fits = (
            len(poll.names) + more < OPTIONS_PER_POLL_MAX
            and poll.text_bytes + more_bytes + size <= OPTION_TEXT_PER_POLL_BYTES_MAX
            and self.has_room(more_listings + 1)
        )
        return Outcome.APPLIED if fits else Outcome.TOO_LARGE

    def judge_all(self, choices: Iterable[Choice]) -> bytes:
        """An outcome for each choice of a request that counts as a whole: options that are new must fit together."""
        outcomes = bytearray()
        new: dict[str, dict[str, None]] = {}  # poll -> its new options
        sizes: dict[str, int] = {}
        listings = 0
        for choice in choices:
            outcome = self.judge(choice)
            if outcome == Outcome.APPLIED and choice.poll is not None and self.is_new(choice):
                beside = new.setdefault(choice.poll, {})
                if choice.option not in beside:
                    size = sizes.get(choice.poll, 0)
                    outcome = self._judge_new(self.polls[choice.poll], choice.option, len(beside), size, listings)
                    beside[choice.option] = None
                    sizes[choice.poll] = size + len(choice.option.encode())
                    listings += 1
            outcomes.append(outcome)
        return bytes(outcomes)

    def count(self, choice: Choice, votes: int) -> None:
        """Add votes whose choice was judged APPLIED and whose sum fits."""
        amount = votes * choice.weight
        self.counted += amount
        if choice.poll is None:
            self.totals[self.index[choice.option]] += amount
            self.changed_options.add(choice.option)
            return
        poll = self.polls[choice.poll]
        if choice.option not in poll.place:
            self._write_in(poll, choice.option)
        poll.own[poll.place[choice.option]] += amount
        self.changed_polls.add(poll.id)

    def places_of(self, choices: Iterable[Choice]) -> list[int | None]:
        """Where votes for each choice surely count: its place in `totals`, DIRECT for one in its poll, else None."""
        index, opens = self.index, self.opens
        places: list[int | None] = []
        for choice in choices:
            if choice.poll is None:
                place = index.get(choice.option)
                sure = place is not None and opens[place] and 1 <= choice.weight <= WEIGHT_MAX
                places.append(place if sure else None)
            else:
                sure = self.judge(choice) == Outcome.APPLIED and not self.is_new(choice)
                places.append(DIRECT if sure else None)
        return places

    def count_at(self, places: Sequence[int | None], choices: Sequence[Choice], votes: Mapping[int, int]) -> None:
        """Like `count` for many: `votes` has how many by choice; `places` is what `places_of` gave for `choices`."""
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
        """Take in a poll of a snapshot. `own` of an open one has T taken off already."""
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
        poll.own = array("q", map(sub, poll.own, self._totals_of(poll))) if poll.shared else poll.own
        self._count_open(poll, 1)

    def close(self, poll: Poll) -> None:
        """T as it stands now is the poll's; what T gains later is not."""
        poll.own = array("q", map(add, poll.own, self._totals_of(poll))) if poll.shared else poll.own
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
        poll.own.append(0)
        poll.text_bytes += len(option.encode())
        poll.version = self.version
        self.listings += 1

    # ---- results ----------------------------------------------------------------------------------------------------

    def results(self, poll: Poll) -> dict[str, int]:
        shares = poll.state == "open" and poll.shared
        counts = map(add, poll.own, self._totals_of(poll)) if shares else poll.own
        return dict(zip(poll.names, counts, strict=True))

    def columns(self, poll: Poll) -> Columns:
        if poll.state == "open" and poll.shared:
            return Columns(poll.names.copy(), poll.own[:], poll.shared, self.totals[:])
        return Columns(poll.names.copy(), poll.own[:], array("I"), array("q"))

    def results_of(self, poll: Poll, options: Iterable[str]) -> dict[str, int]:
        shares = poll.state == "open" and poll.shared
        counts = {}
        for option in options:
            place = poll.place.get(option)
            if place is not None:
                counts[option] = poll.own[place] + (self.totals[poll.shared[place]] if shares else 0)
        return counts
