"""Twitter's v1.1 `statuses/filter`, and servers that are compatible with it.

It is lossy: nothing that was said while nobody listened comes again. So every gap is told, with its length. Without
options it waits, as the endpoint wants at least one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from quorate.ingest.social.network import Inlet, Positions, Terms
from quorate.ingest.social.networks.defaults import TWITTER_SILENCE_S, TWITTER_URL
from quorate.ingest.social.networks.twitter.connections import Connections
from quorate.ingest.social.networks.twitter.filter_stream import FilterStream
from quorate.ingest.social.networks.twitter.keys import TwitterKeys
from quorate.ingest.social.networks.twitter.messages import Disconnect, FallingBehind, Message, Nonsense, Withheld
from quorate.ingest.social.networks.twitter.succession import Succession
from quorate.ingest.social.networks.twitter.track import Track, TrackLimits, track_of
from quorate.ingest.social.networks.twitter.withheld import WithheldCount
from quorate.ingest.social.post import Post
from quorate.ingest.social.reading.companion import Companion
from quorate.ingest.social.reading.pauses import ReconnectPauses
from quorate.ingest.social.reading.read_end import ReadEnd, read_to_end
from quorate.ingest.social.reading.refusal import Refusals, StreamRefused
from quorate.ingest.social.reading.resting import RestingNetwork
from quorate.web.long_read import LongReadFailed

log = logging.getLogger(__name__)

NEW_OPTIONS_S = 60.0
CLOSED_S = 1.0  # for a server that takes one connection: until it has seen that we closed it
RIVALS = ("duplicate", "other_client")  # somebody else connects with the same credentials


class Twitter(RestingNetwork):
    name = "twitter"
    promise: Literal["exact", "lossy"] = "lossy"
    keeps = ""

    def __init__(
        self,
        keys: TwitterKeys,
        url: str = TWITTER_URL,
        *,
        limits: TrackLimits | None = None,
        silence_s: float = TWITTER_SILENCE_S,
        drain_s: float | None = None,
    ) -> None:
        super().__init__(url, silence_s)
        self.keys, self.limits, self.drain_s = keys, limits or TrackLimits(), drain_s
        self._reading: TwitterReading | None = None

    def figures(self) -> Mapping[str, float]:
        """See `HasFigures`."""
        return {"posts_held_back": float(self._reading.held_back) if self._reading is not None else 0.0}

    def run(self, inlet: Inlet, positions: Positions) -> None:
        self._reading = TwitterReading(self, inlet)
        self._reading.run()


class TwitterReading:
    """One run of the network. This thread reads; the companion brings new options."""

    def __init__(self, network: Twitter, inlet: Inlet) -> None:
        self._network, self._inlet = network, inlet
        self._connections = Connections()
        self._pauses = ReconnectPauses()
        self._refusals = Refusals(inlet, self._pauses)
        self._withheld = WithheldCount(inlet.lost, time.monotonic)
        self._dropped_at_s: float | None = None
        self._told = ""
        self._is_understood = False
        succession = Succession(inlet, self._connections, self._track, self._open, self._pauses)
        if network.drain_s is not None:
            succession.drain_s = network.drain_s
        self._companion = Companion("twitter options", succession.follow, self._connections.wake)

    def run(self) -> None:
        track_of(self._inlet.terms.texts, self._network.limits).whole()
        self._companion.start()
        try:
            while True:
                stream = self._next_stream()
                try:
                    self._read(stream)
                finally:
                    self._connections.end()
                    stream.close()
        finally:
            self._connections.close()
            self._companion.join()

    @property
    def held_back(self) -> int:
        """How many posts the server did not deliver, as it said."""
        return self._withheld.posts

    # ---- connecting -------------------------------------------------------------------------------------------------

    def _next_stream(self) -> FilterStream:
        while True:
            self._companion.check()
            track = self._wait_for_options()
            with self._connections.opening:
                opened = self._connections.take_successor() or self._try(track)
            if isinstance(opened, FilterStream):
                self._tell_gap(opened)
                return opened
            self._after(opened)

    def _wait_for_options(self) -> Track:
        terms = self._inlet.terms
        if (track := self._track(terms)).phrases:
            return track
        with self._network.rest.because("no option can be asked for"):
            while not track.phrases:
                terms = self._inlet.wait_for_terms(terms.version, NEW_OPTIONS_S)
                self._dropped_at_s = None  # nothing was to be heard
                track = self._track(terms)
        return track

    def _track(self, terms: Terms) -> Track:
        """What was refused at the start is told later on: what can be asked for is worth more than the rest."""
        track = track_of(terms.texts, self._network.limits)
        if track.left_out and track.left_out != self._told:
            self._inlet.lost(track.left_out)
        self._told = track.left_out
        return track

    def _try(self, track: Track) -> FilterStream | StreamRefused | LongReadFailed:
        try:
            return self._open(track)
        except (StreamRefused, LongReadFailed) as error:
            return error

    def _open(self, track: Track) -> FilterStream:
        stream = FilterStream(self._network.source, self._network.keys, track, self._network.silence_s)
        with self._inlet.closing(stream.wake):
            return stream.__enter__()

    def _after(self, error: StreamRefused | LongReadFailed) -> None:
        if isinstance(error, StreamRefused):
            self._refusals.refused(error)
        elif error.reason == "closed":
            self._inlet.pause(0)  # a stop closes it
        else:
            self._refusals.failed(self._network.source, error)

    def _tell_gap(self, opened: FilterStream) -> None:
        if self._dropped_at_s is not None and self._dropped_at_s < opened.opened_at_s:
            gap_s = opened.opened_at_s - self._dropped_at_s
            self._inlet.lost(f"nobody listened for {gap_s:.1f} s, and Twitter v1.1 repeats nothing")

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _read(self, stream: FilterStream) -> None:
        self._is_understood = False
        self._connections.begin(stream)
        self._inlet.connected()
        with self._inlet.closing(stream.wake):
            end = read_to_end(stream.messages(), self._take, lambda: self._is_understood, self._heard)
        self._dropped_at_s = time.monotonic()
        self._withheld.connection_ended()
        self._companion.check()
        self._inlet.pause(0)  # a stop closes the connection, too
        if not self._leaves_to_successor():
            self._dropped(end)
        elif end.reason in RIVALS:
            self._dropped_at_s = None  # by our own successor: that one listens already

    def _heard(self) -> None:
        self._pauses.established()
        self._refusals.accepted()

    def _understood(self) -> None:
        if not self._is_understood:
            self._is_understood = True
            self._pauses.understood()

    def _take(self, messages: Sequence[Message]) -> tuple[str, str] | None:
        """Why the stream is over, if a message says that it is."""
        posts = [message for message in messages if isinstance(message, Post)]
        if posts:
            self._understood()
            self._inlet.put(posts, {})
        for message in messages:
            match message:
                case Withheld(total):
                    self._withheld.notice(total)
                case FallingBehind(percent_full):
                    log.warning("posts are read too slowly: Twitter's queue for us is %d%% full", percent_full)
                case Disconnect(code):
                    return message.reason, f"the server disconnects, with code {code}"
                case Nonsense() if self._is_understood:
                    self._inlet.lost("a message of the stream could not be understood")
                case Nonsense():
                    return "nonsense", "what comes is no stream of posts"
        return None

    def _leaves_to_successor(self) -> bool:
        """The successor was opened before, or is being opened just now. If there is none, none is opened any more
        before the reader has paused and connected."""
        with self._connections.opening:
            if not self._connections.has_successor:
                self._connections.end()
            return self._connections.has_successor

    def _dropped(self, end: ReadEnd) -> None:
        why, is_closed = end.why or "the server ended the stream", end.reason == "closed"
        if is_closed:
            why = "closed here for new options, as the server takes one connection at a time"
        if end.reason in RIVALS:
            why = f"{why}: somebody else connects with the same credentials, or did so too often"
        self._inlet.disconnected(end.reason, f"{self._network.source}: {why}")
        if pause_s := CLOSED_S if is_closed else end.pause_s(self._pauses, too_many=RIVALS):
            self._inlet.pause(pause_s)
