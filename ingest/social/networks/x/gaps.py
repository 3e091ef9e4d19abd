"""Fills gaps of the stream by recent search, which finds the same posts with the same ids for seven days.

It finds nearly the same: its rules for accents and quotes are not those of the stream. It knows nothing of the last
half minute, so it waits until a gap is older than that. What it finds is paid for like what the stream sends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from quorate.ingest.social.network import Inlet
from quorate.ingest.social.networks.x.api import XApi
from quorate.ingest.social.networks.x.budget import DailyBudget
from quorate.ingest.social.networks.x.marks import Gap, Marks
from quorate.ingest.social.networks.x.posts import TWEET_FIELDS, SearchPage, cost_of, posts_in
from quorate.ingest.social.networks.x.problems import said_in
from quorate.ingest.social.networks.x.rate_window import RateWindow
from quorate.ingest.social.networks.x.rules import packed, too_long
from quorate.ingest.social.networks.x.snowflake import id_at, ms_of
from quorate.ingest.social.reading.loose_json import loosely
from quorate.unreadable import UNREADABLE
from quorate.words import count

log = logging.getLogger(__name__)

PATH = "/2/tweets/search/recent"
QUERY_CHARACTERS = 512
SEARCHES = 450  # in 15 minutes
PAGE_LEAST, PAGE_MOST = 10, 100
LATE_S = 75.0  # the overlap after the connect, and what a search does not know yet
KEPT_S = 7 * 86_400 - 3_600
LOOK_S = 1.0


class GapLost(Exception):
    """It is not filled, or not wholly; `str()` says why."""


@dataclass(slots=True)
class GapSearch:
    """`alternatives` gives what is asked for now. `server_ms` is the time of X."""

    inlet: Inlet
    api: XApi
    marks: Marks
    budget: DailyBudget
    alternatives: Callable[[], Sequence[str]]
    server_ms: Callable[[], float]
    suffix: str = ""
    is_over: bool = False
    _window: RateWindow = field(default_factory=lambda: RateWindow(SEARCHES))

    def fill(self) -> None:
        """Until the network ends."""
        while not self.is_over:
            self.inlet.pause(0)
            gap = self.marks.next_gap(LOOK_S)
            if gap is not None:
                connected_ms = gap.connected_ms
                self.inlet.pause(max(0.0, (connected_ms - self.server_ms()) / 1_000 + LATE_S))
                if self.marks.begin(gap, connected_ms):
                    self._fill(gap)

    def _fill(self, gap: Gap) -> None:
        found = 0
        try:
            for query in self._queries():
                found += self._search(query, gap)
        except GapLost as lost:
            self.inlet.lost(f"a gap of {gap.seconds:,.0f} s could not be filled: {lost}")
        else:
            log.info("a gap of %.0f s was searched: %s", gap.seconds, count(found, "post"))
        if position := self.marks.filled(gap):
            self.inlet.put([], position)

    def _queries(self) -> list[str]:
        wanted = self.alternatives()
        if too_long(wanted, QUERY_CHARACTERS, suffix=self.suffix):
            log.warning("options of more than %d characters cannot be searched for", QUERY_CHARACTERS)
        return packed(wanted, QUERY_CHARACTERS, suffix=self.suffix)

    def _search(self, query: str, gap: Gap) -> int:
        """How many posts it found. The newest come first."""
        found, token = 0, ""
        while True:
            page = self._page(query, gap, token)
            self.budget.spend(cost_of(page))
            posts = posts_in(page)
            self.inlet.put(posts, {})
            found += len(posts)
            token = page.next_token
            if not token:
                return found

    def _page(self, query: str, gap: Gap, token: str) -> SearchPage:
        if self.budget.left < PAGE_LEAST:
            raise GapLost(f"the budget of the day is used up, {self.budget.limits}")
        params = {
            "query": query,
            "since_id": str(self._since(gap)),
            "until_id": str(gap.until),
            "max_results": str(min(PAGE_MOST, self.budget.left)),
            "tweet.fields": TWEET_FIELDS,
            "expansions": "referenced_tweets.id,edit_history_tweet_ids",
        } | ({"next_token": token} if token else {})
        if pause_s := self._window.wait_s():
            self.inlet.pause(pause_s)
        answer = self.api.ask("GET", PATH, params=params, expected=(200, 400))
        if answer.status == 400:
            raise GapLost(f"X does not take the search ({said_in(answer.json())})")
        try:
            return loosely(msgspec.json.Decoder(SearchPage).decode, answer.body)
        except UNREADABLE:
            raise GapLost("what X answers to the search is not understood") from None

    def _since(self, gap: Gap) -> int:
        oldest = id_at(self.server_ms() - KEPT_S * 1_000)
        if gap.since >= oldest:
            return gap.since
        missing_h = (ms_of(oldest) - ms_of(gap.since)) / 3_600_000
        self.inlet.lost(
            f"X finds what was written in the last seven days; {missing_h:,.0f} hours before them are missing"
        )
        gap.since = oldest
        return oldest
