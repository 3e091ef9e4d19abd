"""Which polls were deleted lately: so that what was meant for one of them is told so, and never meets a new poll.

A tombstone lasts for as many accepted ids as the dedup window has, because so long a vote may come again. It also lasts
for some minutes of the leader's time, because so long a request may be under way. And it goes only when the leader
proposes it, which it does when every sink has marked the poll's document: one that is not marked would be imported
again. There is one tombstone a name, of its last deletion. It stays while a new poll has the name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from quorate.words import count

TOMBSTONES_MAX = 100_000  # ten times the polls that there may be
KEPT_MS = 600_000  # of the leader's time: no request is under way for so long


class Tombstone(msgspec.Struct, array_like=True, frozen=True):
    id: str
    creation: int  # the number of the poll's creation
    deleted_ms: int
    version: int  # at which it was deleted
    expires: int  # it may go when so many ids were ever accepted


class Tombstones:
    def __init__(self, stones: Iterable[Tombstone] = (), forgotten_ms: int = 0) -> None:
        self._by_id = {stone.id: stone for stone in stones}  # the oldest deletion first
        self.forgotten_ms = forgotten_ms  # the latest deletion among those that are forgotten

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, id: str) -> bool:
        return id in self._by_id

    def get(self, id: str) -> Tombstone | None:
        return self._by_id.get(id)

    def all(self) -> Sequence[Tombstone]:
        return list(self._by_id.values())

    def why_full(self, id: str) -> str | None:
        """Why a poll with this id cannot be deleted now, in words."""
        if id in self._by_id or len(self._by_id) < TOMBSTONES_MAX:
            return None
        return (
            f"{count(TOMBSTONES_MAX, 'deleted poll')} are remembered. The oldest are forgotten when more votes were "
            "counted and every sink has marked their documents; then this one can be deleted"
        )

    def add(self, stone: Tombstone) -> None:
        self._by_id.pop(stone.id, None)
        self._by_id[stone.id] = stone

    def outlast(self, accepted: int) -> None:
        """The window was changed: keep every tombstone at least until so many ids were accepted."""
        for id, stone in self._by_id.items():
            self._by_id[id] = msgspec.structs.replace(stone, expires=max(stone.expires, accepted))

    def may_go(self, stone: Tombstone, *, accepted: int, window: int, version: int, time_ms: int) -> bool:
        """Whether it is old enough. Where all are taken, the entries of the log count as ids do."""
        if time_ms - stone.deleted_ms < KEPT_MS:
            return False
        is_full = len(self._by_id) >= TOMBSTONES_MAX
        return accepted >= stone.expires or (is_full and version - stone.version >= window)

    def forget(self, stone: Tombstone) -> None:
        del self._by_id[stone.id]
        self.forgotten_ms = max(self.forgotten_ms, stone.deleted_ms)


def mixed(fingerprint: int, creation: int) -> int:
    """A fingerprint with the number of the poll that it is about. With number 0 (of level 0) it stays as it is.

    For one choice, different numbers give different fingerprints.
    """
    return (fingerprint ^ (creation * 0x9E3779B1)) * 0x85EBCA6B & 0xFFFFFFFF if creation else fingerprint
