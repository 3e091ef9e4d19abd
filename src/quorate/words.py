"""Words that clients send and several rooms read, and how things are counted in words. Each stands only here."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Level = Literal["none", "weak", "linearizable"]  # how new a read must be; `cluster/read/reads.py` says what each means
LEVELS: tuple[Level, ...] = get_args(Level)

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"  # of a node, a cluster or a service

Action = Literal["add", "remove", "replace", "update"]  # what operators do with a member
ACTIONS: tuple[Action, ...] = get_args(Action)

# The `age_ms` of an answer when no bound is known. It is a number that every JavaScript reads exactly, and not null,
# which compares like 0 there: "at most a second old" must not be true of what may be any age.
AGE_UNKNOWN_MS = 2**53 - 1


def count(number: int, what: str) -> str:
    """`1 vote`, `2 votes`, `2 entries`, `2 batches`."""
    return f"{number:,} {what if number == 1 else _plural(what)}"


def _plural(what: str) -> str:
    if what.endswith("y") and what[-2:-1] not in "aeiou":
        return f"{what[:-1]}ies"
    return f"{what}es" if what.endswith(("ch", "sh", "s", "x")) else f"{what}s"


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is said of a change whose outcome is unknown, and what to do then."""

    title: str
    advice: str


_DOUBTS = {
    "votes": Doubt("It may or may not have been counted", "send it again with the same id"),
    "producers": Doubt("The session may or may not have been opened", "open it again"),
    "polls": Doubt("The poll may or may not have changed", "look at GET /polls, or send the same again"),
    "leader": Doubt("Leadership may or may not have moved", "look at GET /leader"),
    "members": Doubt("The members may or may not have changed", "look at GET /members"),
    "sink": Doubt("The sinks may or may not have been taken over", "do it again, twice is harmless"),
    "settings": Doubt("The setting may or may not have changed", "look at GET /settings"),
}


def doubt_about(path: str) -> Doubt | None:
    """The words for a request to this path; None for one that changes nothing."""
    return _DOUBTS.get(path.strip("/").partition("/")[0])


NEAR_MAX, ALL_MAX = 5, 8


def near_names(word: str, known: Iterable[str], *, likeness: float = 0.5) -> list[str]:
    """Known names that `word` may have meant, the likeliest first. Upper and lower case are alike."""
    by_case = {each.casefold(): each for each in known}
    return [by_case[each] for each in difflib.get_close_matches(word.casefold(), by_case, NEAR_MAX, likeness)]


def did_you_mean(word: str, known: Collection[str]) -> str:
    """What follows "there is no …": near names, or all if there are only a few, or nothing."""
    if near := near_names(word, known):
        return f"; did you mean {' or '.join(near)}?"
    if 0 < len(known) <= ALL_MAX:
        return f"; there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
    return ""
