"""Whether a new vote counts: the place where a late vote is rejected, and every other vote that cannot count.

The answer is an `Outcome`: APPLIED if the vote counts, CLOSED if it came when no poll that it is for was open, DELETED
if its poll was deleted, and other outcomes for an option or a poll that does not exist, a weight that is not allowed,
and limits. Nothing is counted here: see `tally.py`. Votes that were counted before are found out before: see `dedup.py`
and `voting.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from quorate.cluster.entry import Choice
from quorate.cluster.state.tally import DIRECT, Poll, Tally
from quorate.shown import hidden_character
from quorate.vote import (
    OPTION_BYTES_MAX,
    OPTION_TEXT_PER_POLL_BYTES_MAX,
    OPTIONS_PER_POLL_MAX,
    WEIGHT_MAX,
    Outcome,
    Vote,
)

Chosen = Choice | Vote


class Admission:
    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def admit(self, choice: Chosen, votes: int = 1) -> Outcome:
        """The outcome of `votes` new votes for a choice, which count together or not at all."""
        outcome = self._admit_choice(choice)
        if outcome == Outcome.APPLIED and votes < 1:
            return Outcome.INVALID
        if outcome == Outcome.APPLIED and not self._tally.fits(votes * choice.weight):
            return Outcome.TOO_LARGE
        return outcome

    def admit_all(self, choices: Iterable[Chosen]) -> bytes:
        """An outcome for each choice of a request that counts as a whole: options that are new must fit together.

        Whether the sum of the request's votes fits is not checked here.
        """
        tally, outcomes = self._tally, bytearray()
        new: dict[str, dict[str, None]] = {}  # poll -> its new options
        sizes: dict[str, int] = {}  # poll -> bytes of its new options
        listings = 0
        for choice in choices:
            outcome = self._admit_choice(choice)
            if outcome == Outcome.APPLIED and choice.poll is not None and self._is_new_option(choice):
                beside = new.setdefault(choice.poll, {})
                if choice.option not in beside:
                    size = sizes.get(choice.poll, 0)
                    outcome = self._admit_option(tally.polls[choice.poll], choice.option, len(beside), size, listings)
                    beside[choice.option] = None
                    sizes[choice.poll] = size + len(choice.option.encode())
                    listings += 1
            outcomes.append(outcome)
        return bytes(outcomes)

    def places_of(self, choices: Iterable[Choice]) -> list[int | None]:
        """For each choice, the place where its votes are counted: an index of `Tally.totals`, or DIRECT if the choice
        names its poll. None if its votes may be rejected, or if that depends on the votes before them.

        The bound of the totals is not checked here.
        """
        index, opens = self._tally.index, self._tally.opens
        places: list[int | None] = []
        for choice in choices:
            place: int | None
            if choice.poll is None:
                place = index.get(choice.option)
                sure = place is not None and opens[place]
            else:
                place, sure = DIRECT, self._lists(choice)
            places.append(place if sure and 1 <= choice.weight <= WEIGHT_MAX else None)
        return places

    def _lists(self, choice: Choice) -> bool:
        """Whether the poll that the choice names is open and has the option already."""
        poll = self._tally.polls.get(choice.poll or "")
        return (
            poll is not None
            and choice.option in poll.place
            and poll.state == "open"
            and not (poll.again and self._tally.is_unseen(poll))
        )

    def _admit_choice(self, choice: Chosen) -> Outcome:
        """The outcome of a new vote for a choice; the bound of the totals is not checked here."""
        tally = self._tally
        if not 1 <= choice.weight <= WEIGHT_MAX:
            return Outcome.INVALID
        if choice.poll is None:
            shared = tally.index.get(choice.option)
            if shared is None:
                return Outcome.UNKNOWN_OPTION
            return Outcome.APPLIED if tally.opens[shared] else Outcome.CLOSED
        poll = tally.polls.get(choice.poll)
        if poll is None:
            return Outcome.DELETED if choice.poll in tally.tombstones else Outcome.UNKNOWN_POLL
        if tally.is_unseen(poll):
            return Outcome.DELETED
        if poll.state != "open":
            return Outcome.CLOSED
        if choice.option in poll.place:
            return Outcome.APPLIED
        return self._admit_option(poll, choice.option) if poll.write_ins else Outcome.UNKNOWN_OPTION

    def _is_new_option(self, choice: Chosen) -> bool:
        """Whether counting an admitted vote writes a new option into its poll."""
        return choice.poll is not None and choice.option not in self._tally.polls[choice.poll].place

    def _admit_option(
        self, poll: Poll, option: str, more: int = 0, more_bytes: int = 0, more_listings: int = 0
    ) -> Outcome:
        """Whether a write-in poll has room for `option` beside others that are about to be written in."""
        size = len(option.encode())
        if not 1 <= size <= OPTION_BYTES_MAX or "\0" in option:
            return Outcome.INVALID
        if self._tally.refuses_hidden and hidden_character(option):
            return Outcome.INVALID
        fits = (
            len(poll.names) + more < OPTIONS_PER_POLL_MAX
            and poll.text_bytes + more_bytes + size <= OPTION_TEXT_PER_POLL_BYTES_MAX
            and self._tally.has_room(more_listings + 1)
        )
        return Outcome.APPLIED if fits else Outcome.TOO_LARGE
