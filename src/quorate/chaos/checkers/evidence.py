"""The history in a temporary SQLite database, so that millions of operations need little memory.

A line of the history is known by its place, the byte at which it begins. A choice (a poll, or none, and an option) is
known by a small number, its pick. Ids and the names of requests are known by their hashes where they are many.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quorate.chaos.history import COUNT_MAX, End, Header, PollPlan

NEVER = COUNT_MAX  # a version that none comes to: the upper end where there is none
ROWS_AT_ONCE = 10_000
CACHE_KIB = 64 * 1024

SCHEMA = """
CREATE TABLE casting (place INTEGER PRIMARY KEY, request TEXT, begun REAL, ended REAL, outcome INTEGER, version INTEGER,
    decided INTEGER, applied INTEGER, duplicates INTEGER, counted INTEGER, rejected TEXT, codes BLOB, way INTEGER,
    producer TEXT, epoch INTEGER, sequence INTEGER, node TEXT, ids_most INTEGER, ids_least INTEGER,
    queue INTEGER);
CREATE TABLE reading (place INTEGER PRIMARY KEY, poll TEXT, version INTEGER, begun REAL, ended REAL, source INTEGER,
    strict INTEGER, state TEXT, node TEXT, mark TEXT);
CREATE TABLE bare (place INTEGER PRIMARY KEY, poll TEXT, begun REAL, ended REAL, strict INTEGER);
CREATE TABLE seen (pick INTEGER, version INTEGER, place INTEGER, total INTEGER);
CREATE TABLE changing (place INTEGER PRIMARY KEY, poll TEXT, begun REAL, ended REAL, outcome INTEGER, version INTEGER,
    target TEXT, creates INTEGER, closes_at INTEGER, is_change INTEGER);
CREATE TABLE opening (place INTEGER PRIMARY KEY, producer TEXT, begun REAL, ended REAL, outcome INTEGER,
    version INTEGER, epoch INTEGER, sequence INTEGER);
CREATE TABLE digest (place INTEGER PRIMARY KEY, begun REAL, ended REAL, version INTEGER, node TEXT, digest TEXT,
    chain TEXT);
CREATE TABLE floor (place INTEGER PRIMARY KEY, told INTEGER);
CREATE TABLE ceiling (place INTEGER PRIMARY KEY, highest INTEGER);
CREATE TABLE vote (pick INTEGER, lowest INTEGER, highest INTEGER, votes INTEGER, sure INTEGER, place INTEGER);
CREATE TABLE refusal (pick INTEGER, version INTEGER, place INTEGER, reason TEXT);
CREATE TABLE named (id INTEGER, request INTEGER, place INTEGER);
CREATE TABLE batch (producer TEXT, sequence INTEGER, epoch INTEGER, lowest INTEGER, highest INTEGER, sure INTEGER,
    place INTEGER);
"""
# When all rows are there: sorting them once is faster than keeping an index up to date.
INDEXES = {
    "vote": "CREATE INDEX vote_by_pick ON vote (pick, lowest, highest, votes, sure, place)",
    "seen": "CREATE INDEX seen_by_pick ON seen (pick, version, place, total)",
    "reading": "CREATE INDEX reading_by_poll ON reading (poll, version, place, source, state)",
}


class Evidence:
    """Made by `load` (`loading.py`); the checkers add tables of what they derive. `close` it, and delete its folder."""

    def __init__(self, folder: Path) -> None:
        self.header: Header | None = None
        self.end: End | None = None
        self.polls: dict[str, PollPlan] = {}
        self.picks: dict[tuple[str | None, str], int] = {}
        self.choices: list[tuple[str | None, str]] = []  # by pick
        self.weights: dict[tuple[str | None, str], int] = {}  # of votes for options that no plan names
        self.ids_sent = 0  # in requests that may have had an effect: so many may have been accepted at the most
        self.read_last: set[str] = set()  # polls that were read in the end
        self.operations = self.unknown = 0
        self.faults = 0
        self.hit: dict[str, list[float]] = {}  # by victim: when a fault of it began or ended
        self.clients: set[str] = set()
        self.last_s = 0.0
        self._terms: list[int] = []  # of leaders that were seen, rising, and when each was seen first
        self._terms_at: list[float] = []
        self._rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._db = sqlite3.connect(folder / "evidence.db", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(SCHEMA)
        self._db.execute("BEGIN")

    @property
    def window(self) -> int:
        return self.header.dedup_window if self.header else 0

    @property
    def table(self) -> int:
        """The window that the dedup table is for."""
        return (self.header.dedup_table if self.header else 0) or self.window

    def note_leader(self, at: float, term: int) -> None:
        if not self._terms or term > self._terms[-1]:
            self._terms.append(term)
            self._terms_at.append(at)

    def term_at(self, at: float) -> int:
        """The term of the newest leader that was seen up to then; 0: none was seen."""
        place = bisect_right(self._terms_at, at)
        return self._terms[place - 1] if place else 0

    def pick_of(self, poll: str | None, option: str) -> int:
        choice = (poll, option)
        pick = self.picks.get(choice)
        if pick is None:
            pick = self.picks[choice] = len(self.choices)
            self.choices.append(choice)
        return pick

    def weight_of(self, poll: str, option: str) -> int:
        plan = self.polls.get(poll)
        if plan is not None and option in plan.options:
            return plan.options[option]
        return self.weights.get((poll, option), 1)

    def is_planned(self, pick: int) -> bool:
        """Whether the history says of the poll, or of any if none is named, that it has the option."""
        poll, option = self.choices[pick]
        plans = self.polls.values() if poll is None else [self.polls[poll]] if poll in self.polls else []
        return any(option in plan.options for plan in plans)

    def polls_voted_in(self) -> list[str]:
        """Those for which a vote surely counted, and which the history says that the run made."""
        picks = (self.choices[pick] for (pick,) in self.select("SELECT DISTINCT pick FROM vote WHERE sure"))
        voted = set(picks)
        return [
            poll
            for poll, plan in self.polls.items()
            if any((poll, option) in voted or (None, option) in voted for option in plan.options)
        ]

    def add(self, table: str, *row: Any) -> None:
        rows = self._rows[table]
        rows.append(row)
        if len(rows) >= ROWS_AT_ONCE:
            self._write(table, rows)

    def _write(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            marks = ",".join("?" * len(rows[0]))
            self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
            rows.clear()

    def flush(self, *, index: tuple[str, ...] = ()) -> None:
        """Everything that was added can be selected now. `index`: tables that are complete, and get their index."""
        for table, rows in self._rows.items():
            self._write(table, rows)
        for table in index:
            self._db.execute(INDEXES[table])

    def select(self, query: str, *values: Any) -> Iterator[Any]:
        return self._db.execute(query, values)

    def surely_counted(self, place: int, highest: int) -> None:
        """The votes of a request without an answer counted, at that version or below."""
        self._db.execute("UPDATE vote SET sure = 1, highest = min(highest, ?) WHERE place = ?", (highest, place))

    def never_counted(self, place: int) -> None:
        self._db.execute("DELETE FROM vote WHERE place = ? AND NOT sure", (place,))

    def close(self) -> None:
        self._db.close()
