"""What happened in a stream so far, in numbers and in the words of its latest troubles. Any thread may write and read.

No text of a post, no id and no name of a person is kept here: it is all shown. What is kept by name is bounded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from quorate.ingest.social.post import Post
from quorate.vote import Tallied, Vote

log = logging.getLogger(__name__)

LOST_KEPT = 20
REASONS_MAX, PARTS_MAX, OPTIONS_MAX = 50, 1_000, 200_000
OTHERS = "other"

OptionKey = tuple[str, str]  # a poll and one of its options


@dataclass(frozen=True, slots=True)
class Loss:
    at_s: float  # Unix
    why: str


@dataclass(slots=True)
class StreamNumbers:
    """`created_ms`: when the newest confirmed post was written, by the network's clock; 0: it does not say."""

    posts: int = 0
    matched_posts: int = 0
    votes: int = 0
    confirmed_posts: int = 0
    confirmed_votes: int = 0
    applied: int = 0
    duplicates: int = 0
    created_ms: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)  # posts that could not be matched, by the bug
    by_option: Counter[OptionKey] = field(default_factory=Counter)  # in the order in which they were first mentioned
    rejected: Counter[str] = field(default_factory=Counter)
    connects: int = 0
    disconnects: Counter[str] = field(default_factory=Counter)
    connected: dict[str, bool] = field(default_factory=dict)  # by part
    last_disconnect: str = ""
    losses: int = 0
    last_losses: list[Loss] = field(default_factory=list)

    @property
    def is_connected(self) -> bool:
        return any(self.connected.values())

    def lag_s(self, now_s: float) -> float | None:
        """How long ago the newest confirmed post was written. None: not known."""
        return max(0.0, now_s - self.created_ms / 1000) if self.created_ms else None

    def top_options(self, most: int) -> list[tuple[OptionKey, int]]:
        return self.by_option.most_common(most)


class StreamCounts:
    """`clock` is Unix time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = StreamNumbers()

    @property
    def numbers(self) -> StreamNumbers:
        """As they are now: a copy, which nobody changes."""
        with self._lock:
            now = self._numbers
            return replace(
                now,
                by_option=now.by_option.copy(),
                rejected=now.rejected.copy(),
                passed_over=now.passed_over.copy(),
                disconnects=now.disconnects.copy(),
                connected=dict(now.connected),
            )

    @property
    def is_connected(self) -> bool:
        with self._lock:
            return self._numbers.is_connected

    # ---- by the network's threads -----------------------------------------------------------------------------------

    def connected(self, part: str) -> None:
        with self._lock:
            was = self._set_connected(part, True)
            self._numbers.connects += 1
        if not was:
            log.info("connected%s", _to(part))

    def disconnected(self, reason: str, detail: str, part: str) -> None:
        with self._lock:
            self._set_connected(part, False)
            _add(self._numbers.disconnects, [reason], REASONS_MAX)
            self._numbers.last_disconnect = detail or reason
        log.warning("disconnected%s (%s): %s", _to(part), reason, detail)

    def _set_connected(self, part: str, now: bool) -> bool:
        """Whether it was connected before. Parts that have come and gone are forgotten if there are very many."""
        connected = self._numbers.connected
        was = connected.pop(part, False)
        if len(connected) >= PARTS_MAX:
            del connected[next((each for each, is_so in connected.items() if not is_so), next(iter(connected)))]
        connected[part] = now
        return was

    def lost(self, why: str, part: str) -> None:
        with self._lock:
            self._numbers.losses += 1
            loss = Loss(self._clock(), f"{part}: {why}" if part else why)
            self._numbers.last_losses = [*self._numbers.last_losses, loss][-LOST_KEPT:]
        log.error("posts are lost%s: %s", _to(part), why)

    # ---- by the main thread and the one that sends ------------------------------------------------------------------

    def matched(self, posts: Sequence[Post], votes: Sequence[Vote], matched_posts: int) -> None:
        with self._lock:
            self._numbers.posts += len(posts)
            self._numbers.matched_posts += matched_posts
            self._numbers.votes += len(votes)
            for key, number in Counter((str(vote.poll), vote.option) for vote in votes).items():
                known = key in self._numbers.by_option or len(self._numbers.by_option) < OPTIONS_MAX
                self._numbers.by_option[key if known else (OTHERS, OTHERS)] += number

    def passed_over(self, why: str) -> None:
        """A post that no vote could be looked for in: a bug of ours."""
        with self._lock:
            first = why not in self._numbers.passed_over
            _add(self._numbers.passed_over, [why], REASONS_MAX)
        if first:
            log.error("a post could not be looked through and is passed over, as further ones like it: %s", why)

    def answered(self, votes: int, tallied: Tallied | None) -> None:
        """`tallied` is what a cluster says; NSQ only says that it has them."""
        with self._lock:
            self._numbers.confirmed_votes += votes
            if tallied is not None:
                self._numbers.applied += tallied.applied
                self._numbers.duplicates += tallied.duplicates
                _add(self._numbers.rejected, (each.reason for each in tallied.rejected), REASONS_MAX)

    def confirmed(self, posts: Sequence[Post]) -> None:
        """Where people say themselves when they wrote, some say that it was in the future: that is now."""
        now_ms = int(self._clock() * 1000)
        with self._lock:
            self._numbers.confirmed_posts += len(posts)
            newest_ms = max((post.created_ms for post in posts), default=0)
            self._numbers.created_ms = max(self._numbers.created_ms, min(newest_ms, now_ms))


def _add(counter: Counter[str], words: Iterable[str], most: int) -> None:
    for word in words:
        counter[word if word in counter or len(counter) < most else OTHERS] += 1


def _to(part: str) -> str:
    return f" ({part})" if part else ""
