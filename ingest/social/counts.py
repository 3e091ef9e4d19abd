"""What happened in a stream so far, in numbers and in the words of its latest troubles. Any thread may write and read.

No text of a post, no id and no name of a person is kept here: it is all shown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from quorate.ingest.social.post import Post
from quorate.vote import Tallied, Vote

log = logging.getLogger(__name__)

LOST_KEPT = 20


@dataclass(slots=True)
class StreamNumbers:
    """`lag_ms`: how long before now the newest confirmed post was written, by the network's clock; None: not known."""

    posts: int = 0
    matched_posts: int = 0
    votes: int = 0
    confirmed_posts: int = 0
    confirmed_votes: int = 0
    duplicates: int = 0
    created_ms: int = 0
    by_option: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    disconnects: Counter[str] = field(default_factory=Counter)
    connects: int = 0
    connected: dict[str, bool] = field(default_factory=dict)
    lost: list[tuple[float, str]] = field(default_factory=list)
    last_disconnect: str = ""


class StreamCounts:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.numbers = StreamNumbers()

    # ---- by the network's threads -----------------------------------------------------------------------------------

    def connected(self, part: str) -> None:
        with self._lock:
            first = not self.numbers.connected.get(part)
            self.numbers.connected[part] = True
            self.numbers.connects += 1
        if first:
            log.info("connected%s", _to(part))

    def disconnected(self, reason: str, detail: str, part: str) -> None:
        with self._lock:
            self.numbers.connected[part] = False
            self.numbers.disconnects[reason] += 1
            self.numbers.last_disconnect = detail or reason
        log.warning("disconnected%s (%s): %s", _to(part), reason, detail)

    def lost(self, why: str, part: str) -> None:
        with self._lock:
            self.numbers.lost = [*self.numbers.lost, (time.time(), f"{part}: {why}" if part else why)][-LOST_KEPT:]
        log.error("posts are lost%s: %s", _to(part), why)

    # ---- by the main thread and the one that sends ------------------------------------------------------------------

    def matched(self, posts: Sequence[Post], votes: Sequence[Vote], matched_posts: int) -> None:
        with self._lock:
            self.numbers.posts += len(posts)
            self.numbers.matched_posts += matched_posts
            self.numbers.votes += len(votes)
            self.numbers.by_option.update((str(vote.poll), vote.option) for vote in votes)

    def answered(self, votes: int, tallied: Tallied | None) -> None:
        """`tallied` is what a cluster says; NSQ only says that it has them."""
        with self._lock:
            self.numbers.confirmed_votes += votes
            if tallied is not None:
                self.numbers.duplicates += tallied.duplicates
                self.numbers.rejected.update(each.reason for each in tallied.rejected)

    def confirmed(self, posts: Sequence[Post]) -> None:
        with self._lock:
            self.numbers.confirmed_posts += len(posts)
            self.numbers.created_ms = max(self.numbers.created_ms, *(post.created_ms for post in posts), 0)


def _to(part: str) -> str:
    return f" ({part})" if part else ""
