"""How many posts may be read in a day, since each costs money: a full stream would spend a month's allowance in hours.

A day is UTC's, as that of X's bills. What was read is counted on disk before it is read: some posts are reserved at
once, and after a kill those count as read, so a budget is never passed because the command was started again. The count
is of what X sends, repeats too, which X bills once a day: it may say more than the bill, and never less.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from quorate.errors import Invalid
from quorate.ingest.social.networks.defaults import X_DOLLARS_PER_POST, X_POSTS_PER_DAY
from quorate.own_files import locked, read_own, write_synced
from quorate.unreadable import UNREADABLE
from quorate.words import count

RESERVED_MOST = 100


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """Both hold, if both are given. Without any, it is a small budget: nobody shall be surprised by a bill."""

    posts_per_day: int | None = None
    dollars_per_day: float | None = None
    dollars_per_post: float = X_DOLLARS_PER_POST

    @property
    def posts(self) -> int:
        limits = [] if self.posts_per_day is None else [self.posts_per_day]
        if self.dollars_per_day is not None and self.dollars_per_post:
            limits.append(int(self.dollars_per_day / self.dollars_per_post + 1e-9))
        return min(limits, default=X_POSTS_PER_DAY)

    def __str__(self) -> str:
        return f"{count(self.posts, 'post')} (${self.posts * self.dollars_per_post:,.2f}) a day"


class BudgetDay(msgspec.Struct):
    """The content of the file. `posts`: read or reserved."""

    day: str
    posts: int


class DailyBudget:
    """For all threads of the network. `file`: None keeps the count in memory alone."""

    def __init__(self, limits: BudgetLimits, file: Path | None, unix_s: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self._file, self._unix_s = file, unix_s
        self._lock = threading.Lock()
        self._reserve = max(1, min(RESERVED_MOST, limits.posts // 200))
        self._day = self._load()
        self._reserved = self._day.posts

    @classmethod
    @contextlib.contextmanager
    def held(cls, limits: BudgetLimits, file: Path, unix_s: Callable[[], float] = time.time) -> Iterator[DailyBudget]:
        """Raises `Conflict` while another command spends from it, and OSError if it cannot be written: who starts it
        again and again would pay for posts that nobody counts."""
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(
            file.with_suffix(".lock"), "another `quorate stream x` reads with this account; wait until it ends"
        ):
            budget = cls(limits, file, unix_s)
            budget._write()
            yield budget

    def spend(self, posts: int) -> None:
        """So many have come. Raises OSError, in words for people, if that cannot be written."""
        with self._lock:
            self._turn()
            self._day.posts += posts
            if self._day.posts > self._reserved:
                self._reserved = self._day.posts + self._reserve
                self._write()

    @property
    def spent(self) -> int:
        with self._lock:
            self._turn()
            return self._day.posts

    @property
    def left(self) -> int:
        return max(0, self.limits.posts - self.spent)

    def until_tomorrow_s(self) -> float:
        now = datetime.fromtimestamp(self._unix_s(), UTC)
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
        return (midnight - now).total_seconds()

    def _turn(self) -> None:
        """A new day has begun. A clock that goes back gives no new budget."""
        today = self._today()
        if today > self._day.day:
            self._day, self._reserved = BudgetDay(today, 0), 0

    def _today(self) -> str:
        return datetime.fromtimestamp(self._unix_s(), UTC).date().isoformat()

    def _load(self) -> BudgetDay:
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                return self._decoded(self._file, read_own(self._file))
        return BudgetDay(self._today(), 0)

    @staticmethod
    def _decoded(file: Path, content: bytes) -> BudgetDay:
        try:
            return msgspec.json.decode(content, type=BudgetDay)
        except UNREADABLE as error:
            wrong = f"the count of posts in {file} is damaged ({error}). Move the file away to begin the day anew"
            raise Invalid(wrong) from None

    def _write(self) -> None:
        if self._file is None:
            return
        try:
            write_synced(self._file, msgspec.json.encode(BudgetDay(self._day.day, self._reserved)))
        except OSError as error:
            why = f"what was spent cannot be written: {error.strerror}"
            raise OSError(error.errno, f"{why}; no more posts are read, as each costs money") from None
