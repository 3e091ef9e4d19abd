"""What clients sent and were told, and whether a cluster's count can be true.

The promise in checkable form: a vote that was acknowledged is counted once; one that was not, at most once; no id is
ever told twice that it was applied. Nothing here knows how the faults came about, so any test of chaos can use it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping


class History:
    """Filled by clients, in any number of threads; read when they have ended."""

    def __init__(self, votes: Mapping[str, str]) -> None:
        self.votes = dict(votes)  # id -> option: every vote that is meant to be cast
        self.acknowledged: set[str] = set()
        self.applied: Counter[str] = Counter()  # how often an id was answered "applied"; above one is a double count
        self.attempts: Counter[str] = Counter()  # by what came of them: "200", "503", "timeout", ...
        self.strange: list[str] = []  # answers that no correct node gives to these votes
        self._lock = threading.Lock()

    def attempt(self, outcome: str) -> None:
        with self._lock:
            self.attempts[outcome] += 1

    def acknowledge(self, vote_id: str, applied: int, duplicates: int) -> None:
        with self._lock:
            self.attempts["200"] += 1
            self.acknowledged.add(vote_id)
            self.applied[vote_id] += applied
            if applied + duplicates != 1:
                self.strange.append(f"{vote_id}: applied {applied}, duplicates {duplicates}")

    def wonder(self, what: str) -> None:
        with self._lock:
            self.attempts["strange"] += 1
            self.strange.append(what)

    def keep(self, ids: Iterable[str]) -> None:
        """Only these votes were ever sent."""
        self.votes = {vote_id: self.votes[vote_id] for vote_id in ids}

    def open_ids(self) -> set[str]:
        """Votes that may or may not be counted."""
        return set(self.votes) - self.acknowledged

    def tally(self, ids: Iterable[str] | None = None) -> dict[str, int]:
        """What the votes (all of them, or those with the ids) add up to."""
        return dict(Counter(self.votes[i] for i in (self.votes if ids is None else ids)))

    def problems(self, results: Mapping[str, int]) -> list[str]:
        """Why `results` cannot be the count of this history; an empty list if it can."""
        twice = [vote_id for vote_id, times in self.applied.items() if times > 1]
        found = [f"strange answer: {what}" for what in self.strange[:5]]
        found += [f"{vote_id} was answered 'applied' {self.applied[vote_id]} times" for vote_id in twice[:5]]
        sure, possible = self.tally(self.acknowledged), self.tally()
        for option in sorted({*possible, *results}):
            low, high, is_ = sure.get(option, 0), possible.get(option, 0), results.get(option, 0)
            if is_ < low:
                found.append(f"{option}: {is_} counted, {low} acknowledged: {low - is_} lost")
            if is_ > high:
                found.append(f"{option}: {is_} counted, {high} cast: {is_ - high} too many")
        return found
