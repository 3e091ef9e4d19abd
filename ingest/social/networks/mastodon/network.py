"""Mastodon, and servers that speak its streaming API by server-sent events.

It is lossy, though gaps are filled: what reaches the instance very late, is deleted within a gap, or is filtered for
the token's user, is not seen. A feed is read for each option's hashtag, or the whole live feed of the instance.
"""

from __future__ import annotations

import logging
import time
from typing import Literal
from urllib.parse import urlsplit

from quorate.errors import ConfigError
from quorate.ingest.social.network import Inlet, Positions, Terms
from quorate.ingest.social.networks.defaults import MASTODON_SILENCE_S, MASTODON_TAGS, MASTODON_TOKEN
from quorate.ingest.social.networks.mastodon.feed import Feed, FeedAddress, hashtag_feed, live_feed
from quorate.ingest.social.networks.mastodon.feed_reader import FeedReader
from quorate.ingest.social.networks.mastodon.gap_filler import GapFiller
from quorate.ingest.social.networks.mastodon.hashtags import hashtags
from quorate.ingest.social.networks.mastodon.instance import Instance, InstanceFails, switched_off
from quorate.ingest.social.networks.mastodon.status_ids import id_at, is_ahead
from quorate.ingest.social.reading.companion import Companion
from quorate.ingest.social.reading.private_urls import check_private
from quorate.ingest.social.reading.resting import RestingNetwork
from quorate.words import count

log = logging.getLogger(__name__)

LOOK_S = 0.5  # how soon a thread that failed is noticed
ACCESS_S = 900.0  # how often it is asked whether its feeds were switched off

NO_TAG = "no option can be a hashtag; with --feed public all posts are read"

FeedName = Literal["hashtags", "public", "local", "remote"]


class MastodonNetwork(RestingNetwork):
    """`url`: of an instance. `feed`: one for each option's hashtag, or a live feed of all posts."""

    name = "mastodon"
    promise: Literal["lossy"] = "lossy"
    keeps = "gaps are filled from the instance's timelines"

    def __init__(
        self,
        url: str,
        token: str,
        *,
        feed: FeedName = "hashtags",
        silence_s: float = MASTODON_SILENCE_S,
        tags_max: int = MASTODON_TAGS,
    ) -> None:
        parts = urlsplit(url)
        super().__init__(f"{parts.scheme}://{parts.netloc}", silence_s)
        check_private(self.source)
        self.token, self.feed, self.tags_max = token, feed, tags_max

    def run(self, inlet: Inlet, positions: Positions) -> None:
        reading = MastodonReading(self, inlet, positions)
        try:
            reading.follow_options()
        finally:
            reading.close()


class MastodonReading:
    """One run of the network: this thread looks at the options, and opens and closes feeds, a thread each."""

    def __init__(self, network: MastodonNetwork, inlet: Inlet, positions: Positions) -> None:
        self._network, self._inlet, self._positions = network, inlet, dict(positions)
        self._asking = Instance(network.source, network.token, inlet)
        self._facts = self._asking.facts()
        filling = Instance(network.source, network.token, inlet)
        self._filler = GapFiller(filling, inlet)
        self._filling = Companion("mastodon gaps", self._filler.run, lambda: None)
        self._filling.start()
        self._open: dict[str, tuple[FeedReader, Companion]] = {}
        self._access_at_s = 0.0
        self._told_off: list[str] = []
        self._told_left_out = ""

    def follow_options(self) -> None:
        terms = self._inlet.terms
        self._check_access(is_start=True)
        self._have_open(terms, is_start=True)
        for part in [part for part, position in self._positions.items() if position and part not in self._open]:
            self._inlet.put([], {part: ""})  # what was posted while no option asked for it is no gap
        while True:
            before, terms = terms, self._inlet.wait_for_terms(terms.version, LOOK_S)
            if terms.version != before.version:
                self._have_open(terms, is_start=False)
            for companion in (self._filling, *(companion for _, companion in self._open.values())):
                companion.check()
            if time.monotonic() - self._access_at_s > ACCESS_S:
                self._look_again()

    def close(self) -> None:
        for reader, _ in self._open.values():
            reader.close()
        self._filler.end()
        for _, companion in self._open.values():
            companion.join()
        self._filling.join()

    # ---- which feeds ------------------------------------------------------------------------------------------------

    def _have_open(self, terms: Terms, *, is_start: bool) -> None:
        wanted = {address.part: address for address in self._addresses(terms, is_start=is_start)}
        for part in [part for part in self._open if part not in wanted]:
            reader, companion = self._open.pop(part)
            reader.close()
            companion.join()
            self._inlet.disconnected("not_asked", "no option asks for it any more", part)
            self._positions.pop(part, None)
            reader.forget()
        for part, address in wanted.items():
            if part not in self._open:
                self._open[part] = self._begin(address)
        self._network.rest.why = "" if self._open else NO_TAG

    def _begin(self, address: FeedAddress) -> tuple[FeedReader, Companion]:
        feed = Feed(address, self._position(address.part), self._inlet)
        reader = FeedReader(feed, self._asking, self._facts, self._filler, self._inlet, self._network.silence_s)
        companion = Companion(f"mastodon {address.part}", reader.run, lambda: None)
        companion.start()
        return reader, companion

    def _position(self, part: str) -> str:
        position, now_ms = self._positions.get(part, ""), time.time() * 1000
        if not is_ahead(position, now_ms):
            return position
        self._inlet.lost("the place where the reading ended lies in the future; was a clock wrong?", part)
        return id_at(int(now_ms))

    def _addresses(self, terms: Terms, *, is_start: bool) -> list[FeedAddress]:
        if self._network.feed != "hashtags":
            return [live_feed(self._network.feed)]
        tags, without = hashtags(terms.texts)
        left_out = ""
        if without:
            left_out = f"{count(len(without), 'option')} cannot be a hashtag"
        if len(tags) > self._network.tags_max:
            left_out = f"{count(len(tags), 'option')} need a connection each, and {self._network.tags_max} are allowed"
        if left_out and left_out != self._told_left_out:
            advice = "; with --feed public all posts are read"
            if is_start and len(tags) > self._network.tags_max:
                raise ConfigError(left_out + advice)
            self._inlet.lost(left_out + advice)
        self._told_left_out = left_out
        return [hashtag_feed(tag) for tag in tags[: self._network.tags_max]]

    # ---- whether the instance shows them ----------------------------------------------------------------------------

    def _look_again(self) -> None:
        try:
            self._facts = self._asking.facts(tries=1)
            self._check_access(is_start=False)
        except InstanceFails as failed:
            log.info("%s did not say whether its feeds are still on: %s", self._asking.host, failed)
            self._access_at_s = time.monotonic()

    def _check_access(self, *, is_start: bool) -> None:
        """A feed that is switched off is no error to a stream: it just stays silent. So it is asked for."""
        self._access_at_s = time.monotonic()
        kind = "hashtag_feeds" if self._network.feed == "hashtags" else "live_feeds"
        off = switched_off(self._facts, kind)
        if self._network.feed in ("local", "remote"):
            off = [self._network.feed, "the other"] if self._network.feed in off else []
        if not off or off == self._told_off or self._asking.may_view_all_feeds():
            self._told_off = off
            return
        self._told_off = off
        setting = f"configuration.timelines_access.{kind}"
        if len(off) == 2:
            why = (
                f"{self._asking.host} has switched this feed off ({setting}): only users with the permission to view"
                f" live and topic feeds read it, and that of {MASTODON_TOKEN} is none of them"
            )
            if is_start:
                raise ConfigError(why)
        else:
            why = f"{self._asking.host} has switched off {off[0]} posts in this feed ({setting}), so they do not come"
        self._inlet.lost(why)
