"""Votes as columns: what each of them is for, and the hash of its id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from quorate.cluster.entry import ID_HASH_BYTES
from quorate.cluster.submit.choices import Key, key_of
from quorate.vote import Vote

VOTE_BYTES = 32  # of one vote in a batch at the most, beside its texts


class VoteColumns:
    """`ids` are hashed with the cluster's key; None: of a vote without an id."""

    __slots__ = ("ids", "keys")

    def __init__(self, keys: list[Key], ids: list[bytes | None]) -> None:
        self.keys, self.ids = keys, ids

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def bytes_max(self) -> int:
        """That these take in a batch at the most."""
        size = 64 + VOTE_BYTES * len(self.keys)
        for option, poll, _ in distinct(self.keys):
            size += len(option.encode()) + (0 if poll is None else len(poll.encode()))
        return size


class DecidedColumns(NamedTuple):
    """`outcomes` has an `Outcome` for each vote."""

    version: int
    outcomes: bytes


def distinct(keys: list[Key]) -> Iterable[Key]:
    """In their order. To hash a key takes longer than to compare it with itself, and mostly all are the same one."""
    if keys and keys.count(keys[0]) == len(keys):
        return keys[:1]
    return dict.fromkeys(keys)


def columns_of(votes: Sequence[Vote], hash_key: bytes) -> VoteColumns:
    return VoteColumns(
        list(map(key_of, votes)),
        [
            None if vote.id is None else blake2b(vote.id.encode(), digest_size=ID_HASH_BYTES, key=hash_key).digest()
            for vote in votes
        ],
    )
