"""The life of polls: creating them, changing what may change, which state may follow which, the timed close, and
deleting them.

Whether a closing time has come is decided by the time that entries carry, never by a clock. Polls that are due at an
entry's time close before the commands of that entry. A poll that is opened after its closing time loses the closing
time, because it would close again at once.

Each creation has a number. A deleted poll leaves a tombstone, so that what was meant for it never meets a new poll of
the same name.

Options are only added. An option is never taken away or renamed: its votes would be lost, or would count for something
that nobody chose.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.cluster.entry import ChangePoll, CreatePoll, DeletePoll, PollResult, SetPollState, State
from quorate.cluster.state.definition import (
    check_new,
    check_shape,
    check_sizes,
    check_texts,
    check_title,
    definition_of,
)
from quorate.cluster.state.tally import LISTINGS_MAX, Poll, Tally
from quorate.cluster.state.tombstones import Tombstone
from quorate.vote import POLLS_MAX

TRANSITIONS: dict[State, tuple[State, ...]] = {
    "draft": ("open", "archived"),
    "open": ("closed",),
    "closed": ("open", "archived"),
    "archived": (),
}
DELETABLE = ("draft", "archived")

PASSED = "the closing time has passed already"
NO_LISTING = f"all polls together list at most {LISTINGS_MAX:,} options"


@dataclass(frozen=True, slots=True)
class PollView:
    """A poll's definition. At `version` its state, title, closing time or options last changed."""

    id: str
    title: str
    options: Sequence[str]
    state: State
    closes_at_ms: int | None
    write_ins: bool
    created_ms: int
    version: int
    imported: bool
    creation: int = 0  # tells it from an earlier or later poll of the same id; 0: it was created at level 0
    since_ms: int = 0  # messages that are older were not meant for this poll
    again: bool = False  # when it was created, an earlier poll of its id was remembered


class Polls:
    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.gives_numbers = False  # from feature level 1 on
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
        if command.imported and command.id in self._tally.tombstones:
            return PollResult("deleted", detail="a poll of this id was deleted lately, and this may be its document")
        refused = check_new(command) or self._check_room(command)
        if refused is not None:
            return refused
        poll = self._make(command, definition)
        if self.gives_numbers:
            self._number(poll)
        self._tally.add(poll)
        if poll.state == "open":
            self._tally.open(poll)
        self._changed(poll)
        return PollResult("created", creation=poll.creation)

    def set_state(self, command: SetPollState) -> PollResult:
        state, poll = command.state, self._tally.polls.get(command.id)
        if poll is None:
            return self._no_poll(command.id)
        if self._tally.is_unseen(poll):
            return PollResult("deleted", poll.state, _was_deleted(command.id, poll))
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

    def change(self, command: ChangePoll) -> PollResult:
        """Change the title, the closing time and the options together, or nothing."""
        poll = self._tally.polls.get(command.id)
        if poll is None:
            return self._no_poll(command.id)
        if self._tally.is_unseen(poll):
            return PollResult("deleted", poll.state, _was_deleted(command.id, poll))
        new = [option for option in command.add_options if option not in poll.place]
        title = poll.title if command.title is None else command.title
        closes_at_ms = command.closes_at_ms if command.changes_closing else poll.closes_at_ms
        if not new and (title, closes_at_ms) == (poll.title, poll.closes_at_ms):
            return PollResult("same", poll.state)
        if poll.state == "archived":
            return PollResult("archived", poll.state, "its title, options and closing time stay as they are")
        refused = check_title(title) or self._check_closing(poll, closes_at_ms) or self._check_more(poll, new)
        if refused is not None:
            return refused
        if closes_at_ms != poll.closes_at_ms:
            self._unwatch(poll)
        poll.title, poll.closes_at_ms = title, closes_at_ms
        self._tally.add_options(poll, new)
        self._changed(poll)
        return PollResult("changed", poll.state)

    def _no_poll(self, id: str) -> PollResult:
        if id in self._tally.tombstones:
            return PollResult("deleted", detail=_was_deleted(id, None))
        return PollResult("unknown_poll", detail=f"no poll has the id {id!r}")

    def delete(self, command: DeletePoll, accepted: int) -> PollResult:
        """`accepted`: a tombstone lasts until so many ids were accepted."""
        tally, id = self._tally, command.id
        poll, stone = tally.polls.get(id), tally.tombstones.get(id)
        if stone is not None and (poll is None or command.creation is None):
            return PollResult("deleted", detail=_was_deleted(id, poll), creation=stone.creation)
        if poll is None:
            return self._no_poll(id)
        if command.creation not in (None, poll.creation):
            return PollResult("deleted", poll.state, _was_deleted(id, poll))
        if poll.state not in DELETABLE:
            return PollResult("bad_transition", poll.state, f"a poll that is {poll.state} is not deleted; archive it")
        why_full = tally.tombstones.why_full(id)
        if why_full is not None:
            return PollResult("too_large", poll.state, why_full)
        self._unwatch(poll)
        self._views.pop(id, None)
        tally.remove(poll)
        tally.tombstones.add(Tombstone(id, poll.creation, tally.time_ms, tally.version, accepted))
        return PollResult("removed", poll.state, creation=poll.creation)

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
        """Put the poll into the heap, once."""
        if poll.state == "open" and poll.closes_at_ms is not None and poll.id not in self._timed:
            self._timed.add(poll.id)
            heapq.heappush(self._closing, (poll.closes_at_ms, poll.id))

    def _unwatch(self, poll: Poll) -> None:
        """Take the poll out of the heap: its closing time changes. This walks the heap, and such changes are rare."""
        if poll.id in self._timed:
            self._timed.discard(poll.id)
            self._closing = [(closes_at_ms, id) for closes_at_ms, id in self._closing if id != poll.id]
            heapq.heapify(self._closing)

    def _number(self, poll: Poll) -> None:
        tally = self._tally
        tally.creations += 1
        poll.creation, poll.again = tally.creations, poll.id in tally.tombstones
        poll.since_ms = tally.time_ms if poll.again else tally.tombstones.forgotten_ms

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
        after = command.initial_results or [0] * len(before)
        # Options that were added since then have no initial results.
        if poll.names[: len(before)] != command.options or list(before) == after:
            return PollResult("same", poll.state)
        refused = check_shape(command)
        if refused is not None:
            return refused
        more = sum(after) - sum(before)
        if not self._tally.fits(more):
            return PollResult("too_large", poll.state, "the starting results would take the totals over 2^63-1")
        for place, (new, old) in enumerate(zip(after, before, strict=True)):
            poll.base[place] += new - old
        poll.initial_results = array("q", after)
        self._tally.counted += more
        self._changed(poll)
        return PollResult("changed", poll.state)

    def _check_room(self, command: CreatePoll) -> PollResult | None:
        if command.closes_at_ms is not None and command.closes_at_ms <= self._tally.time_ms:
            return PollResult("invalid", detail=PASSED)
        if len(self._tally.polls) >= POLLS_MAX:
            return PollResult("too_large", detail=f"there are {POLLS_MAX:,} polls already")
        if not self._tally.has_room(len(command.options)):
            return PollResult("too_large", detail=NO_LISTING)
        if not self._tally.fits(sum(command.initial_results)):
            return PollResult("too_large", detail="the starting results would take the totals over 2^63-1")
        return None

    # ---- changing ---------------------------------------------------------------------------------------------------

    def _check_closing(self, poll: Poll, closes_at_ms: int | None) -> PollResult | None:
        if closes_at_ms in (None, poll.closes_at_ms) or closes_at_ms > self._tally.time_ms:
            return None
        return PollResult("invalid", poll.state, PASSED)

    def _check_more(self, poll: Poll, new: list[str]) -> PollResult | None:
        refused = check_texts(new) or check_sizes(new, beside=poll.names)
        if refused is None and not self._tally.has_room(len(new)):
            return PollResult("too_large", poll.state, NO_LISTING)
        return refused

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
                creation=poll.creation,
                since_ms=poll.since_ms,
                again=poll.again,
            )
        return view


def _was_deleted(id: str, poll: Poll | None) -> str:
    if poll is None:
        return f"the poll {id!r} was deleted"
    return (
        f"the poll {id!r} that was meant was deleted, and another one has the name now, creation {poll.creation}. If "
        "that one is meant, say so: look at it first, and then ask again (to delete it, give this number)"
    )
