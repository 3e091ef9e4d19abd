"""One feed of an instance: how it is asked for, and where it stands.

Two threads read it. One reads what comes live, the other fills the gap before that. While the gap is being filled, only
the filling moves the position, page by page, since all before a page was put in already. After that what comes live
does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from quorate.ingest.social.networks.mastodon.status_ids import latest

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

    def __init__(self, address: FeedAddress, position: str) -> None:
        self.address = address
        self.is_closed = False
        self._position = position
        self._lock = threading.Lock()
        self._connections = 0
        self._is_whole = False

    @property
    def position(self) -> str:
        return self._position

    def connected(self) -> int:
        """The number of this connection. There is a gap before it, if the feed has a position."""
        with self._lock:
            self._connections += 1
            self._is_whole = not self._position
            return self._connections

    def disconnected(self) -> None:
        with self._lock:
            self._is_whole = False

    def filled(self, connection: int) -> None:
        """Up to this connection, if it is still the same one."""
        with self._lock:
            self._is_whole |= connection == self._connections

    def is_live(self, connection: int) -> bool:
        return connection == self._connections and not self.is_closed

    def came(self, ids: Iterable[str]) -> dict[str, str]:
        """Posts came live. Returns what moves."""
        with self._lock:
            return self._moved(ids) if self._is_whole else {}

    def found(self, ids: Iterable[str]) -> dict[str, str]:
        """The next page of what is before that."""
        with self._lock:
            return self._moved(ids)

    def _moved(self, ids: Iterable[str]) -> dict[str, str]:
        before = self._position
        for each in ids:
            self._position = latest(self._position, each)
        return {self.address.part: self._position} if self._position != before else {}
