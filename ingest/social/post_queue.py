"""The inlet of a running stream: posts wait here between the network's thread and the main thread.

What is under way is bounded, in posts and in bytes: what waits, and what was taken and is not confirmed yet. Beyond it
`put` waits, so a stalled NSQ or cluster stops the reading, and nothing is dropped. The stop of the stream wakes all who
wait here, and has the network's connections closed by threads that nobody waits for, since a close may hang too.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from quorate.ingest.social.counts import StreamCounts
from quorate.ingest.social.network import Positions, StreamStopped, Terms
from quorate.ingest.social.post import Post

log = logging.getLogger(__name__)

POSTS_MAX = 20_000
BYTES_MAX = 32 * 1024 * 1024
TAKEN_BYTES = 4 * 1024 * 1024  # at once: positions move with each batch, and huge posts take their time
POST_BYTES = 300  # what a post takes beside its texts
TAG_BYTES = 30  # and half of what a tag does


@dataclass(slots=True)
class PostBatch:
    """Posts in the order in which they came, and from where to go on once they are all confirmed."""

    posts: list[Post] = field(default_factory=list)
    positions: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def add(self, other: PostBatch) -> None:
        self.posts += other.posts
        self.positions |= other.positions
        self.size += other.size


class PostQueue:
    """An `Inlet`. The main thread takes batches, and says of each when it is `done`."""

    def __init__(self, terms: Terms, counts: StreamCounts, *, posts_max: int = POSTS_MAX, bytes_max: int = BYTES_MAX):
        self._terms, self._counts, self._posts_max, self._bytes_max = terms, counts, posts_max, bytes_max
        self._changed = threading.Condition()
        self._waiting: deque[PostBatch] = deque()
        self._posts = self._size = 0  # under way
        self._stopped = self._ended = False
        self._closers: list[Callable[[], None]] = []

    # ---- for the network --------------------------------------------------------------------------------------------

    def put(self, posts: Sequence[Post], positions: Positions) -> None:
        batch = PostBatch(list(posts), dict(positions), sum(map(size_of, posts)))
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room(batch))
            self._check()
            self._waiting.append(batch)
            self._posts += len(batch.posts)
            self._size += batch.size
            self._changed.notify_all()

    def _has_room(self, batch: PostBatch) -> bool:
        """A batch that is too big by itself goes alone."""
        if not self._posts:
            return len(self._waiting) < self._posts_max  # positions alone are bounded, too
        posts, size = self._posts + len(batch.posts), self._size + batch.size
        return posts <= self._posts_max and size <= self._bytes_max and len(self._waiting) < self._posts_max

    @property
    def terms(self) -> Terms:
        self._check()
        return self._terms

    def wait_for_terms(self, seen: int, timeout_s: float) -> Terms:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._terms.version != seen, timeout_s)
            self._check()
            return self._terms

    def pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)
            self._check()

    @contextlib.contextmanager
    def closing(self, close: Callable[[], None]) -> Iterator[None]:
        with self._changed:
            self._check()
            self._closers.append(close)
        try:
            yield
        finally:
            with self._changed:
                self._closers.remove(close)

    def connected(self, part: str = "") -> None:
        self._counts.connected(part)

    def disconnected(self, reason: str, detail: str, part: str = "") -> None:
        self._counts.disconnected(reason, detail, part)

    def lost(self, why: str, part: str = "") -> None:
        self._counts.lost(why, part)

    def _check(self) -> None:
        if self._stopped:
            raise StreamStopped

    # ---- for the stream ---------------------------------------------------------------------------------------------

    def set_terms(self, terms: Terms) -> None:
        with self._changed:
            self._terms = terms
            self._changed.notify_all()

    def take(self, posts_max: int, timeout_s: float) -> PostBatch | None:
        """What waits, or what comes next within the time. None: nothing came."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended or self._stopped, timeout_s)
            if not self._waiting:
                return None
            taken = PostBatch()
            while self._waiting and (not taken.posts or _fits(taken, self._waiting[0], posts_max)):
                taken.add(self._waiting.popleft())
            self._changed.notify_all()
            return taken

    def done(self, batch: PostBatch) -> None:
        """There is room for as much again."""
        with self._changed:
            self._posts -= len(batch.posts)
            self._size -= batch.size
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Nothing more comes, and all was taken."""
        with self._changed:
            return (self._ended or self._stopped) and not self._waiting

    @property
    def under_way(self) -> int:
        return self._posts

    def end(self) -> None:
        """The network has ended."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        """The network is to end: it is woken, and what it puts in from now on is refused."""
        with self._changed:
            self._stopped = True
            closers = list(self._closers)
            self._changed.notify_all()
        for close in closers:
            threading.Thread(target=_close, args=(close,), name="close", daemon=True).start()


def _close(close: Callable[[], None]) -> None:
    try:
        close()
    except Exception as error:  # whatever the library makes of a connection that is closed under its reader
        log.debug("closing the connection: %s", type(error).__name__)


def _fits(taken: PostBatch, more: PostBatch, posts_max: int) -> bool:
    return len(taken.posts) + len(more.posts) <= posts_max and taken.size + more.size <= TAKEN_BYTES


def size_of(post: Post) -> int:
    tags = sum(map(len, post.tags)) + TAG_BYTES * len(post.tags) if post.tags else 0
    return POST_BYTES + 2 * (len(post.text) + len(post.id) + len(post.author) + tags)
