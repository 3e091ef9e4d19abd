"""How a violation is put into a right history by hand: what was changed, and which property must say so."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from quorate.chaos.history import (
    Cast,
    Read,
    Record,
    SinkLook,
)
from tests.unit.chaos.random_run import WEIGHTS, Mix

R = TypeVar("R")


@dataclass
class Planted:
    rules: Sequence[str]  # the properties that are violated now: one of them must be found
    guilty: Sequence[Record]  # one of these must be shown


class NotHere(Exception):
    """This history has nothing to plant it in."""


Plant = Callable[[list[Record], random.Random], Planted]
PLANTS: dict[str, tuple[Plant, Mix]] = {}


def plant(words: str, **mix: Any) -> Callable[[Plant], Plant]:
    def register(function: Plant) -> Plant:
        PLANTS[words] = function, Mix(**mix)
        return function

    return register


# ---- finding places -------------------------------------------------------------------------------------------------


def of(records: list[Record], kind: type[R], fits: Callable[[R], object] = lambda _: True) -> list[R]:
    return [each for each in records if isinstance(each, kind) and fits(each)]


def one(rng: random.Random, some: Sequence[R]) -> R:
    if not some:
        raise NotHere
    return rng.choice(some)


def pair(rng: random.Random, some: Sequence[R], fits: Callable[[R, R], object]) -> tuple[R, R]:
    return one(rng, [(a, b) for a in some for b in some if a is not b and fits(a, b)])


def counted(records: list[Record], ways: Sequence[str] = ("ids",)) -> list[Cast]:
    """Requests of one vote for a poll that were applied, and whose other attempts do not matter."""
    return of(records, Cast, lambda c: c.applied == 1 and len(c.votes) == 1 and c.votes[0].poll and c.way in ways)


def hgetall(records: list[Record], level: str) -> list[Read]:
    """What Redis clients read, which has no version."""
    return of(records, Read, lambda r: r.outcome == "ok" and r.version is None and r.level == level)


def told_to_redis(records: list[Record]) -> list[Cast]:
    """The first answers to requests of Redis clients with one vote for a poll."""
    casts = of(records, Cast, lambda c: c.counted == 1 and len(c.votes) == 1 and c.votes[0].poll)
    return list({cast.request: cast for cast in reversed(casts)}.values())


def ok(records: list[Record], **values: object) -> list[Read]:
    return of(
        records, Read, lambda r: r.outcome == "ok" and all(getattr(r, name) == value for name, value in values.items())
    )


def version(record: Any) -> int:
    assert record.version is not None
    return int(record.version)


def add(
    records: list[Record], poll: str | None, option: str, votes: int, since: int, until: float = 2**62
) -> list[Record]:
    """Change what was seen of an option from a version on."""
    changed: list[Record] = []
    for each in records:
        if isinstance(each, Read | SinkLook) and each.poll == poll and since <= (each.version or 0) < until:
            each.results[option] = each.results.get(option, 0) + votes * WEIGHTS[option]
            if isinstance(each, Read):
                each.total += votes * WEIGHTS[option]
            changed.append(each)
    if not changed:
        raise NotHere
    return changed


def show(read: Read, other: Read) -> None:
    read.version, read.results, read.total, read.state = other.version, dict(other.results), other.total, other.state


def alone(records: list[Record], cast: Cast) -> bool:
    return 1 == len(of(records, Cast, lambda c: c.request == cast.request))


# A vote without an id that has no answer may have counted or not, and so may a vote that names no poll, in the entry in
# which a poll closes: one vote more or less can be theirs.
SURE: dict[str, Any] = {"plain": 0, "named": 1, "change": 0}
TALLIES = ("reads", "counted_once", "sinks", "agreement")
