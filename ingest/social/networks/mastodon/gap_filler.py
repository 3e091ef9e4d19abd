"""Fills the gaps of all feeds of an instance, one after another, from its timelines.

A gap is what was posted while a feed was not connected. It is read from `min_id` on, page by page, up to a moment after
the connection, from which on all comes live. An edited post is looked up in its history: its first text votes, an edit
never does.
"""

from __future__ import annotations

import logging
import queue
import time
from typing import NamedTuple

from quorate.ingest.social.network import Inlet
from quorate.ingest.social.networks.mastodon.feed import Feed
from quorate.ingest.social.networks.mastodon.instance import Instance
from quorate.ingest.social.networks.mastodon.status_ids import look_back, newest, order, written_ms
from quorate.ingest.social.networks.mastodon.statuses import (
    Status,
    as_first_written,
    id_of,
    is_edited,
    post_of,
)
from quorate.ingest.social.post import Post

log = logging.getLogger(__name__)

PAGE = 40  # its limit
SETTLE_S = 2.0  # an instance answers a stream before it has joined the feed: what is posted between is in its timeline


class _Gap(NamedTuple):
    feed: Feed
    connection: int
    until_ms: int
    settled_s: float  # by our clock


class GapFiller:
    def __init__(self, instance: Instance, inlet: Inlet) -> None:
        self._instance, self._inlet = instance, inlet
        self._gaps: queue.SimpleQueue[_Gap | None] = queue.SimpleQueue()

    def fill(self, feed: Feed, connection: int, until_ms: int) -> None:
        """From its position to this moment of the instance's clock."""
        self._gaps.put(_Gap(feed, connection, until_ms, time.monotonic() + SETTLE_S))

    def end(self) -> None:
        self._gaps.put(None)

    def run(self) -> None:
        while (gap := self._gaps.get()) is not None:
            if gap.feed.is_live(gap.connection):  # else it has a newer gap, which begins there too
                self._fill(gap)

    def _fill(self, gap: _Gap) -> None:
        address = gap.feed.address
        self._inlet.pause(max(0.0, gap.settled_s - time.monotonic()))
        after = look_back(gap.feed.position, address.look_back_ms)
        while not gap.feed.is_closed:
            page = self._page(gap, after)
            if not page:
                break
            posts = [post for status in page if (post := self._post(status)) is not None]
            after = max(map(id_of, page), key=order)
            gap.feed.found(posts, newest(map(id_of, page), time.time() * 1000))
            if _reaches(after, len(page), gap.until_ms):
                break
        gap.feed.filled(gap.connection)

    def _page(self, gap: _Gap, after: str) -> list[Status]:
        """The posts next after this one, the oldest first: the first choice of an author is the one that counts. Empty:
        there is none, or they are not shown."""
        address = gap.feed.address
        params = {**address.timeline_params, "min_id": after, "limit": str(PAGE)}
        answer = self._instance.ask(address.timeline, params)
        page = answer.json()
        if answer.status == 200 and isinstance(page, list):
            newer = [status for status in page if isinstance(status, dict) and order(id_of(status)) > order(after)]
            return sorted(newer, key=lambda status: order(id_of(status)))
        if answer.status != 404 or address.kind != "hashtag_feeds":  # nobody has used that hashtag yet
            self._inlet.lost(
                f"the instance does not show its timeline (it answers {answer.status}), so what was posted while the"
                " stream was not connected is missing",
                address.part,
            )
        return []

    def _post(self, status: Status) -> Post | None:
        if not is_edited(status):
            return post_of(status, self._instance.host)
        answer = self._instance.ask(f"/api/v1/statuses/{id_of(status)}/history")
        first = as_first_written(status, answer.json() if answer.status == 200 else None)
        if first is None:
            self._inlet.lost("the first text of an edited post is not to be had, so it does not count")
            return None
        return post_of(first, self._instance.host)


def _reaches(status_id: str, found: int, until_ms: int) -> bool:
    """Whether all that follows comes live. Ids that hold no time: a page that is not full is the last one."""
    at_ms = written_ms(status_id)
    return found < PAGE // 2 if at_ms is None else at_ms > until_ms
