"""Choices and their fingerprints. A fingerprint costs a hash, so choices that come again and again are remembered.

Two generations are remembered. A choice that is asked for goes on in the newer one, and when that is full the older one
is forgotten. So a request with ten thousand choices that nobody makes again pushes none out that others make.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from operator import attrgetter

from quorate.cluster import entry
from quorate.cluster.entry import Choice
from quorate.vote import Vote

VOTES_A_PIECE = 250  # of a request with very many: half a millisecond, where no choice is remembered one or two
REMEMBERED = 10_000  # in each generation

Key = tuple[str, str | None, int]  # (option, poll, weight)
key_of = attrgetter("option", "poll", "weight")


class RememberedChoices:
    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._newer: dict[Key, Choice] = {}
        self._older: dict[Key, Choice] = {}

    def of(self, key: Key) -> Choice:
        choice = self._newer.get(key)
        return self._recalled(key) if choice is None else choice

    def _recalled(self, key: Key) -> Choice:
        choice = self._older.get(key)
        if choice is None:
            option, poll, weight = key
            choice = Choice(option, poll, weight, entry.fingerprint_of(option, poll, weight))
        if len(self._newer) >= self._size:
            self._newer, self._older = {}, self._newer
        self._newer[key] = choice
        return choice


choice_of = RememberedChoices().of


async def count_choices(votes: Sequence[Vote]) -> tuple[list[Choice], list[tuple[Choice, int]]]:
    """The distinct choices of `votes` in order of appearance, and each with its number of votes.

    The loop does other things meanwhile if there are very many votes.
    """
    counts: dict[Key, int] = {}
    choices: list[Choice] = []
    for start in range(0, len(votes), VOTES_A_PIECE):
        if start:
            await asyncio.sleep(0)
        for key in map(key_of, votes[start : start + VOTES_A_PIECE]):
            count = counts.get(key)
            if count is None:
                counts[key] = 1
                choices.append(choice_of(key))
            else:
                counts[key] = count + 1
    return choices, list(zip(choices, counts.values(), strict=True))
