"""Votes as columns: what each of them is for, and the hash of its id."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple, Self

from quorate.cluster.entry import hash_ids
from quorate.cluster.submit.choices import VOTES_A_PIECE, Key, key_of
from quorate.vote import Vote

VOTE_BYTES = 32  # of one vote in a batch at the most, beside its texts


class VoteColumns:
    """`ids` are hashed with the cluster's key; None: of a vote without an id."""

    __slots__ = ("ids", "keys")

    def __init__(self, keys: list[Key], ids: list[bytes | None]) -> None:
        self.keys, self.ids = keys, ids

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, some: slice) -> VoteColumns:
        return VoteColumns(self.keys[some], self.ids[some])

    def at(self, places: Iterable[int]) -> VoteColumns:
        return VoteColumns([self.keys[place] for place in places], [self.ids[place] for place in places])

    def __iadd__(self, others: VoteColumns) -> Self:
        self.keys += others.keys
        self.ids += others.ids
        return self


class DecidedColumns(NamedTuple):
    """`outcomes` has an `Outcome` for each vote."""

    version: int
    outcomes: bytes


def bytes_max(keys: list[Key]) -> int:
    """That votes for these take in a batch at the most."""
    size = 64 + VOTE_BYTES * len(keys)
    for option, poll, _ in distinct(keys):
        size += len(option.encode()) + (0 if poll is None else len(poll.encode()))
    return size


def distinct(keys: list[Key]) -> Iterable[Key]:
    """In their order. To hash a key takes longer than to compare it with itself, and mostly all are the same one."""
    if keys and keys.count(keys[0]) == len(keys):
        return keys[:1]
    return dict.fromkeys(keys)


_id_of = attrgetter("id")


def columns_of(votes: Sequence[Vote], hash_key: bytes) -> VoteColumns:
    return VoteColumns(list(map(key_of, votes)), hash_ids(map(_id_of, votes), hash_key))


async def columns_in_turns(votes: Sequence[Vote], hash_key: bytes) -> VoteColumns:
    """The loop does other things meanwhile."""
    columns = VoteColumns([], [])
    for start in range(0, len(votes), VOTES_A_PIECE):
        columns += columns_of(votes[start : start + VOTES_A_PIECE], hash_key)
        await asyncio.sleep(0)
    return columns
