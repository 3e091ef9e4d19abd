"""What clients sent and what they were answered, and whether a tally can be right.

The promise that is checked: an acknowledged vote is counted once, any other vote at most once, and no id is answered
"applied" twice. The history does not depend on the kind of fault, so that each test with faults can use it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping


class History:
    """Filled by clients, in any number of threads; read when they have ended."""

    def __init__(self, votes: Mapping[str, str]) -> None:
        self.votes = dict(votes)  # id -> option: all votes that clients may send
        self.acknowledged: set[str] = set()
        self.applied: Counter[str] = (
            Counter()
        )  # id -> how often it was answered "applied"; more than once is a double count
        self.attempts: Counter[str] = Counter()  # by result: "200", "503", "timeout", ...
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
        """Forget all other votes: they were never sent."""
        self.votes = {vote_id: self.votes[vote_id] for vote_id in ids}

    def open_ids(self) -> set[str]:
        """The ids of the votes that may or may not be counted."""
        return set(self.votes) - self.acknowledged

    def tally(self, ids: Iterable[str] | None = None) -> dict[str, int]:
        """The sum of all votes, or of the votes with these ids."""
        return dict(Counter(self.votes[i] for i in (self.votes if ids is None else ids)))

    def problems(self, results: Mapping[str, int]) -> list[str]:
        """The reasons why `results` cannot be the tally of this history. Empty if it can."""
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
