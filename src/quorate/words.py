"""Words that clients send and several rooms read, and how things are counted in words. Each stands only here."""

from __future__ import annotations

from typing import Literal, get_args

Level = Literal["none", "weak", "linearizable"]  # how new a read must be; `cluster/read/reads.py` says what each means
LEVELS: tuple[Level, ...] = get_args(Level)

Action = Literal["add", "remove", "replace", "update"]  # what operators do with a member
ACTIONS: tuple[Action, ...] = get_args(Action)

# The `age_ms` of an answer when no bound is known. It is a number that every JavaScript reads exactly, and not null,
# which compares like 0 there: "at most a second old" must not be true of what may be any age.
AGE_UNKNOWN_MS = 2**53 - 1


def count(number: int, what: str) -> str:
    """`1 vote`, `2 votes`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
