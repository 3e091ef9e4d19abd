"""The life of polls: what may be created, which state may follow which, and closing at a poll's closing time.

Whether a closing time has come is decided by the time that entries carry, never by a clock. Polls that are due at an
entry's time close before the commands of that entry. A poll that is opened after its closing time loses the closing
time, because it would close again at once.
"""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from quorate.cluster.entry import CreatePoll, PollResult, SetPollState, State
from quorate.cluster.state.tally import LISTINGS_MAX, Poll, Tally
from quorate.vote import (
    ID_BYTES_MAX,
    OPTION_BYTES_MAX,
    OPTION_TEXT_PER_POLL_BYTES_MAX,
    OPTIONS_PER_POLL_MAX,
    POLLS_MAX,
    TITLE_BYTES_MAX,
)

TRANSITIONS: dict[State, tuple[State, ...]] = {
    "draft": ("open", "archived"),
    "open": ("closed",),
    "closed": ("open", "archived"),
    "archived": (),
}

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class PollView:
    """A poll's definition. At `version` its state, closing time or options last changed."""

    id: str
    title: str
    options: Sequence[str]
    state: State
    closes_at_ms: int | None
    write_ins: bool
    created_ms: int
    version: int
    imported: bool


class Polls:
    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._views: dict[str, PollView] = {}  # each is made when it is first needed
        self._closing: list[tuple[int, str]] = []  # a heap of (closes_at_ms, poll id)
        self._timed: set[str] = set()  # the polls in that heap
        for poll in tally.polls.values():
            self._watch(poll)

    # ---- commands ---------------------------------------------------------------------------------------------------

    def create(self, command: CreatePoll) -> PollResult:
        definition = definition_of(command)
        known = self._tally.polls.get(command.id)
        if known is not None:
            if command.imported and known.initial_results is not None and known.state != "archived":
                return self._import_again(known, known.initial_results, command)
            same = command.imported or known.definition == definition
            return PollResult("same" if same else "conflict", known.state, "" if same else "another poll has this id")
        refused = _check_shape(command) or _check_size(command) or self._check_room(command)
        if refused is not None:
            return refused
        poll = self._make(command, definition)
        self._tally.add(poll)
        if poll.state == "open":
            self._tally.open(poll)
        self._changed(poll)
        return PollResult("created")

    def set_state(self, command: SetPollState) -> PollResult:
        state, poll = command.state, self._tally.polls.get(command.id)
        if poll is None:
            return PollResult("unknown_poll", detail=f"no poll has the id {command.id!r}")
        before = poll.state
        if state == before:
            return PollResult("same", before)
        if state not in TRANSITIONS[before]:
            allowed = " or ".join(TRANSITIONS[before]) or "nothing else"
            return PollResult("bad_transition", before, f"a poll that is {before} can become {allowed}, not {state}")
        if state == "open" and poll.closes_at_ms is not None and poll.closes_at_ms <= self._tally.time_ms:
            poll.closes_at_ms = None
        self._move(poll, state)
        return PollResult("changed", before)

    def close_due(self) -> None:
        """Close the polls whose closing time has come."""
        while self._closing and self._closing[0][0] <= self._tally.time_ms:
            _, id = heapq.heappop(self._closing)
            self._timed.discard(id)
            poll = self._tally.polls[id]
            if poll.state == "open":
                self._move(poll, "closed")

    def next_close_ms(self) -> int | None:
        """When the next open poll is due; None if no open poll has a closing time."""
        while self._closing and self._tally.polls[self._closing[0][1]].state != "open":
            _, id = heapq.heappop(self._closing)
            self._timed.discard(id)
        return self._closing[0][0] if self._closing else None

    def _move(self, poll: Poll, state: State) -> None:
        if poll.state == "open":
            self._tally.close(poll)
        poll.state = state
        if state == "open":
            self._tally.open(poll)
        self._changed(poll)

    def _changed(self, poll: Poll) -> None:
        poll.version = self._tally.version
        self._tally.changed_polls.add(poll.id)
        self._watch(poll)

    def _watch(self, poll: Poll) -> None:
        """Put the poll into the heap, once: its closing time stays the same until it has passed."""
        if poll.state == "open" and poll.closes_at_ms is not None and poll.id not in self._timed:
            self._timed.add(poll.id)
            heapq.heappush(self._closing, (poll.closes_at_ms, poll.id))

    # ---- creating ---------------------------------------------------------------------------------------------------

    def _make(self, command: CreatePoll, definition: bytes) -> Poll:
        initial_results = array("q", command.initial_results or bytes(8 * len(command.options)))
        self._tally.counted += sum(initial_results)
        shared = array("I") if command.write_ins else self._tally.share(command.options)
        names = command.options if command.write_ins else [self._tally.names[place] for place in shared]
        return Poll(
            id=command.id,
            title=command.title,
            state=command.state,
            closes_at_ms=command.closes_at_ms,
            write_ins=command.write_ins,
            created_ms=self._tally.time_ms,
            version=self._tally.version,
            definition=definition,
            names=names,
            base=initial_results,
            shared=shared,
            initial_results=array("q", initial_results) if command.imported else None,
        )

    def _import_again(self, poll: Poll, before: array[int], command: CreatePoll) -> PollResult:
        """The results in the sink changed before the sink was fenced: they are the initial results now. Votes stay."""
        after = command.initial_results or [0] * len(poll.names)
        if poll.names != command.options or list(before) == after:
            return PollResult("same", poll.state)
        refused = _check_shape(command)
        if refused is not None:
            return refused
        more = sum(after) - sum(before)
        if not self._tally.fits(more):
            return PollResult("too_large", poll.state, "the starting results would take the totals over 2^63-1")
        poll.base = array("q", (base + new - old for base, new, old in zip(poll.base, after, before, strict=True)))
        poll.initial_results = array("q", after)
        self._tally.counted += more
        self._changed(poll)
        return PollResult("changed", poll.state)

    def _check_room(self, command: CreatePoll) -> PollResult | None:
        if command.closes_at_ms is not None and command.closes_at_ms <= self._tally.time_ms:
            return PollResult("invalid", detail="the closing time has passed already")
        if len(self._tally.polls) >= POLLS_MAX:
            return PollResult("too_large", detail=f"there are {POLLS_MAX:,} polls already")
        if not self._tally.has_room(len(command.options)):
            return PollResult("too_large", detail=f"all polls together list at most {LISTINGS_MAX:,} options")
        if not self._tally.fits(sum(command.initial_results)):
            return PollResult("too_large", detail="the starting results would take the totals over 2^63-1")
        return None

    # ---- views ------------------------------------------------------------------------------------------------------

    def view(self, poll: Poll) -> PollView:
        view = self._views.get(poll.id)
        if view is None or view.version != poll.version or len(view.options) != len(poll.names):
            view = self._views[poll.id] = PollView(
                id=poll.id,
                title=poll.title,
                options=tuple(poll.names),
                state=poll.state,
                closes_at_ms=poll.closes_at_ms,
                write_ins=poll.write_ins,
                created_ms=poll.created_ms,
                version=poll.version,
                imported=poll.initial_results is not None,
            )
        return view


def definition_of(command: CreatePoll) -> bytes:
    """A hash of what must be equal if a `CreatePoll` is to be taken for the same one again."""
    data = _encode(
        (
            command.title,
            command.options,
            command.state,
            command.closes_at_ms,
            command.write_ins,
            command.initial_results if any(command.initial_results) else [],
        )
    )
    return hashlib.blake2b(data, digest_size=16).digest()


def _check_shape(command: CreatePoll) -> PollResult | None:
    """Refuse what would break the state machine. Proposers have checked the same, and say it in better words."""
    options = command.options
    if not command.id or "" in options:
        return PollResult("invalid", detail="a poll's id and its options are not empty")
    if "\0" in command.id or "\0" in "".join(options):
        return PollResult("invalid", detail="there is a NUL in a poll's id or options")
    if len(options) < 2 and not command.write_ins:
        return PollResult("invalid", detail="a poll needs at least two options, or write-ins")
    if len(set(options)) != len(options):
        return PollResult("invalid", detail="an option stands there twice")
    if command.state == "archived":
        return PollResult("invalid", detail="a poll starts as draft, open or closed")
    if command.initial_results and len(command.initial_results) != len(options):
        return PollResult("invalid", detail="starting results and options differ in number")
    if min(command.initial_results, default=0) < 0:
        return PollResult("invalid", detail="a starting result is negative")
    return None


def _check_size(command: CreatePoll) -> PollResult | None:
    options = command.options
    if len(command.id.encode()) > ID_BYTES_MAX:
        return PollResult("too_large", detail=f"a poll's id has at most {ID_BYTES_MAX} bytes")
    if len(command.title.encode()) > TITLE_BYTES_MAX:
        return PollResult("too_large", detail=f"a poll's title has at most {TITLE_BYTES_MAX:,} bytes")
    if len(options) > OPTIONS_PER_POLL_MAX:
        return PollResult("too_large", detail=f"a poll has at most {OPTIONS_PER_POLL_MAX:,} options")
    if len("".join(options).encode()) > OPTION_TEXT_PER_POLL_BYTES_MAX:
        return PollResult("too_large", detail=f"a poll's options have at most {OPTION_TEXT_PER_POLL_BYTES_MAX:,} bytes")
    long = (option for option in options if len(option) > OPTION_BYTES_MAX // 4)  # UTF-8: at most 4 bytes a character
    if any(len(option.encode()) > OPTION_BYTES_MAX for option in long):
        return PollResult("too_large", detail=f"an option has at most {OPTION_BYTES_MAX} bytes")
    return None
