"""One feed of an instance: how it is asked for, and where it stands.

Two threads read it. One reads what comes live, the other fills the gap before that. While the gap is being filled, only
the filling moves the position, page by page, since all before a page was put in already. When it is done, the position
moves to the latest post that came live meanwhile, and after that what comes live moves it.

Posts are put in while the feed is locked. So no position is put in before the posts up to it, none goes back, and none
comes after the feed was forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from quorate.ingest.social.network import Inlet
from quorate.ingest.social.networks.mastodon.status_ids import latest
from quorate.ingest.social.post import Post

LIVE_KINDS = {"public": "", "local": "/local", "remote": "/remote"}  # the feed's name: the end of its stream's path


@dataclass(frozen=True, slots=True)
class FeedAddress:
    """`part` names it among the positions, `kind` in `configuration.timelines_access`.

    `look_back_ms`: posts that arrive so late are still found when a gap is filled.
    """

    part: str
    kind: str
    stream: str
    stream_params: dict[str, str]
    timeline: str
    timeline_params: dict[str, str]
    look_back_ms: int


def hashtag_feed(tag: str) -> FeedAddress:
    return FeedAddress(
        part=f"#{tag}",
        kind="hashtag_feeds",
        stream="/api/v1/streaming/hashtag",
        stream_params={"tag": tag},
        timeline=f"/api/v1/timelines/tag/{quote(tag, safe='')}",
        timeline_params={},
        look_back_ms=600_000,
    )


def live_feed(name: str) -> FeedAddress:
    """`name`: public, local or remote."""
    return FeedAddress(
        part=name,
        kind="live_feeds",
        stream=f"/api/v1/streaming/public{LIVE_KINDS[name]}",
        stream_params={},
        timeline="/api/v1/timelines/public",
        timeline_params={} if name == "public" else {name: "true"},
        look_back_ms=60_000,  # thousands of posts at a big instance
    )


class Feed:
    """`position` is the latest id of a post of it; "" before there is any."""

    def __init__(self, address: FeedAddress, position: str, inlet: Inlet) -> None:
        self.address = address
        self.is_closed = False
        self._position, self._inlet = position, inlet
        self._lock = threading.Lock()
        self._connections = 0
        self._is_whole = False
        self._came_live = ""  # the latest one over this connection

    @property
    def position(self) -> str:
        return self._position

    def connected(self) -> int:
        """The number of this connection. There is a gap before it, if the feed has a position."""
        with self._lock:
            self._connections += 1
            self._is_whole, self._came_live = not self._position, ""
            return self._connections

    def disconnected(self) -> None:
        with self._lock:
            self._is_whole = False

    def is_live(self, connection: int) -> bool:
        return connection == self._connections and not self.is_closed

    def begins(self, status_id: str) -> None:
        """There is no position yet: all posts from this one on come."""
        self.found([], status_id)

    def came(self, posts: Sequence[Post], latest_id: str) -> None:
        """Live. Waits while the inlet is full."""
        with self._lock:
            self._put(posts, latest_id if self._is_whole else "")
            self._came_live = latest(self._came_live, latest_id)

    def found(self, posts: Sequence[Post], latest_id: str) -> None:
        """The next page of what is before that. Waits while the inlet is full."""
        with self._lock:
            self._put(posts, latest_id)

    def filled(self, connection: int) -> None:
        """The gap before this connection, if it is still the same one."""
        with self._lock:
            if connection == self._connections:
                self._is_whole = True
                self._put([], self._came_live)

    def forget(self) -> None:
        """It is closed for good, and nothing of it is a gap later on."""
        with self._lock:
            self.is_closed = True
            self._inlet.put([], {self.address.part: ""})

    def _put(self, posts: Sequence[Post], status_id: str) -> None:
        moved = latest(self._position, status_id) if not self.is_closed else self._position
        has_moved, self._position = moved != self._position, moved
        if posts or has_moved:
            self._inlet.put(posts, {self.address.part: moved} if has_moved else {})
