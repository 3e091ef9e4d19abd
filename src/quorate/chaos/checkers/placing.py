"""Whether votes whose version is not known can be placed so that all reads of an option are right.

The reads at versions V1 < V2 < ... leave steps: between two reads, a known number of votes must have been counted that
no answer places. Each such vote has an interval of versions in which it counts, so it fits into a row of consecutive
steps. Some of them surely counted, others perhaps. The question: can each step be filled exactly, while each vote that
surely counted before the last read finds a step?

Two simpler questions answer it. Can each step be filled, with votes of both kinds? And does each vote that surely
counted find a place, in steps that may stay partly empty? If the answer to both is yes, there is one placement that
does both at once (the theorem of Mendelsohn and Dulmage on matchings). For intervals both are answered by the greedy
rule: whose interval ends first is placed first. So all reads of an option are judged together, exactly, in one sweep.

Votes are placed one by one, also those of one request, which count together. That is weaker than the truth for requests
of several votes for one option without an answer, and it never accuses a right history.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Votes of one request that no answer places at one version."""

    lowest: int
    highest: int
    votes: int
    is_sure: bool | int
    place: int


@dataclass(frozen=True, slots=True)
class Misfit:
    """`missing` votes surely counted that the read does not show, or it shows `surplus` votes that none can be."""

    missing: int
    surplus: int
    places: tuple[int, ...]  # of votes that are missing


class Placement:
    """The steps of one option, one after the other."""

    def __init__(self) -> None:
        self._fillers: list[list[int]] = []  # heaps of [last version, order, votes, place]
        self._sure: list[list[int]] = []
        self._order = 0
        self._before = 0  # the version of the last read

    def offer(self, unplaced: Unplaced) -> None:
        """A vote that can be placed from the next step on."""
        self._order += 1
        heapq.heappush(self._fillers, [unplaced.highest, self._order, unplaced.votes, unplaced.place])
        if unplaced.is_sure:
            heapq.heappush(self._sure, [unplaced.highest, self._order, unplaced.votes, unplaced.place])

    def step(self, version: int, votes: int) -> Misfit | None:
        """The next read is at `version`, and `votes` were placed since the last one. After a misfit nothing changed."""
        while self._fillers and self._fillers[0][0] <= self._before:
            heapq.heappop(self._fillers)
        due, owed = self._due(version)
        if owed > votes:
            self._put_back(self._sure, due)
            return Misfit(owed - votes, 0, tuple(each[3] for each in due))
        taken, left = _take(self._fillers, votes)
        if left:
            self._put_back(self._fillers, taken)
            self._put_back(self._sure, due)
            return Misfit(0, left, ())
        _take(self._sure, votes - owed)
        self._before = version
        return None

    def _due(self, version: int) -> tuple[list[list[int]], int]:
        """Take out the votes that surely counted at or below this version, the most urgent first."""
        due, owed = [], 0
        while self._sure and self._sure[0][0] <= version:
            due.append(heapq.heappop(self._sure))
            owed += due[-1][2]
        return due, owed

    def _put_back(self, heap: list[list[int]], taken: list[list[int]]) -> None:
        for each in taken:
            heapq.heappush(heap, each)


def _take(heap: list[list[int]], votes: int) -> tuple[list[list[int]], int]:
    """Take `votes` votes, the most urgent first. Returns what was taken, and how many were not to be had."""
    taken: list[list[int]] = []
    while votes and heap:
        first = heap[0]
        if first[2] > votes:  # a part of a request's votes: the rest stays where it is
            taken.append([first[0], first[1], votes, first[3]])
            heap[0] = [first[0], first[1], first[2] - votes, first[3]]
            return taken, 0
        votes -= first[2]
        taken.append(heapq.heappop(heap))
    return taken, votes
