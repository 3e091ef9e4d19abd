"""Why a vote was rejected, in words that name what was asked for: the state of its poll, or the names that are near.

The words come from this node's own state, which may be a moment behind the leader that rejected the vote. Where it does
not agree with the rejection, the vote keeps the plain words. Looking for near names costs up to some milliseconds, so
it is bounded for each request and for each second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from quorate.cluster.fsm import PollView, StateMachine
from quorate.errors import UnknownPoll
from quorate.shown import hidden_character
from quorate.vote import Vote
from quorate.words import count, did_you_mean, near_names

REFUSALS_A_REQUEST, REFUSALS_A_SECOND = 10, 20
READ, COMPARED = 5_000, 200  # names that are read, and of these the names that are compared with a misspelt one
CHARACTERS = 20_000  # of the one times those of the other, summed up: some milliseconds, where all are alike
POLLS_SHOWN = 3
TEXT_SHOWN = 100


class RefusalWords:
    """Runs on the node's loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = float(REFUSALS_A_SECOND)
        self._at_s = clock()

    def of(self, state: StateMachine, vote: Vote, reason: str) -> str | None:
        """None: the plain words stay."""
        if reason == "invalid" and (hidden := hidden_character(vote.option)):
            return f"option has a character that nobody sees, U+{ord(hidden):04X}; remove it"
        if reason not in ("closed", "unknown_poll", "unknown_option") or not self._may():
            return None
        if reason == "unknown_poll":
            return None if vote.poll is None else unknown_poll(state, vote.poll)
        return _closed(state, vote) if reason == "closed" else _unknown_option(state, vote)

    def name_poll(self, state: StateMachine, error: UnknownPoll) -> None:
        """Put near names into an error about a poll that does not exist, if it says which."""
        id = error.fields.get("poll")
        if isinstance(id, str) and self._may():
            error.detail = unknown_poll(state, id) or error.detail

    def _may(self) -> bool:
        now_s = self._clock()
        self._left = min(float(REFUSALS_A_SECOND), self._left + (now_s - self._at_s) * REFUSALS_A_SECOND)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


def unknown_poll(state: StateMachine, id: str) -> str | None:
    if state.poll(id) is not None:
        return None
    return f"there is no poll {_shown(id)}{_near(id, state.some_polls(READ))}"


def _closed(state: StateMachine, vote: Vote) -> str | None:
    if vote.poll is not None:
        poll = state.poll(vote.poll)
        return None if poll is None or poll.state == "open" else f"the poll {poll.id} is {_state(poll, state.time_ms)}"
    polls = [poll for id in state.polls_with(vote.option) if (poll := state.poll(id)) is not None]
    if not polls or any(poll.state == "open" for poll in polls):
        return None
    words = [f"{poll.id} is {_state(poll, state.time_ms)}" for poll in polls[:POLLS_SHOWN]]
    more = [f"and {count(len(polls) - POLLS_SHOWN, 'other poll')} with it"] if len(polls) > POLLS_SHOWN else []
    return f"no poll with the option {_shown(vote.option)} is open: {', '.join([*words, *more])}"


def _state(poll: PollView, now_ms: int) -> str:
    if poll.state == "draft":
        return "a draft and not open yet"
    if poll.state == "closed" and poll.closes_at_ms is not None and poll.closes_at_ms <= now_ms:
        closed_at = datetime.fromtimestamp(poll.closes_at_ms / 1000, UTC)
        return f"closed; its closing time was {closed_at:%Y-%m-%dT%H:%M:%SZ}"
    return poll.state


def _near(word: str, names: Sequence[str]) -> str:
    """Names with the same first letter, and of these such of about the same length, are compared first, where there are
    too many, or too long ones, for all."""
    first, left = word[:1].casefold(), CHARACTERS
    likely = sorted(names, key=lambda name: (name[:1].casefold() != first, abs(len(name) - len(word))))
    compared = []
    for name in likely[:COMPARED]:
        left -= len(word) * len(name)
        if left < 0:
            break
        compared.append(name)
    if len(compared) == len(names):
        return did_you_mean(word, names)
    near = near_names(word, compared)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _unknown_option(state: StateMachine, vote: Vote) -> str | None:
    near = _near(vote.option, state.some_options(vote.poll, READ))
    if vote.poll is None:
        return f"no open poll has the option {_shown(vote.option)}{near}"
    poll = state.poll(vote.poll)
    if poll is None or vote.option in poll.options:
        return None
    return f"the poll {poll.id} has no option {_shown(vote.option)}{near}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}…")
