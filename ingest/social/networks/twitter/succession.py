"""New options on a v1.1 stream: a connection has one track list for its life, so they need another connection.

It is opened before the old one is given up. Twitter then ends the oldest of an account's connections, after it has sent
what it had; a server that leaves it open has it closed after `DRAIN_S`. Where a second connection is refused, the old
one is closed after the pause that the documents ask for, and when that has happened twice, at once.

Each change costs a connect, and too many of them in a short time are refused. So the first change is made at once, and
those soon after it wait: twice as long each time, up to a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from quorate.ingest.social.backoff import Backoff
from quorate.ingest.social.network import Inlet, Terms
from quorate.ingest.social.networks.twitter.connections import Connections
from quorate.ingest.social.networks.twitter.filter_stream import FilterStream
from quorate.ingest.social.networks.twitter.track import Track
from quorate.ingest.social.reading.pauses import ReconnectPauses
from quorate.ingest.social.reading.refusal import StreamRefused
from quorate.web.long_read import LongReadFailed

DRAIN_S = 5.0
LOOK_S = 1.0  # how soon the companion sees that the network has ended
QUIET_S = 300.0  # without a change, the next one is made at once
KNOWN_AFTER = 2
OF_THE_SECOND = (401, 403)  # the first one was accepted with the same credentials


@dataclass(slots=True)
class Succession:
    """`open_stream` raises `StreamRefused` or `LongReadFailed`. `track` may tell that options are left out."""

    inlet: Inlet
    connections: Connections
    track: Callable[[Terms], Track]
    open_stream: Callable[[Track], FilterStream]
    pauses: ReconnectPauses
    drain_s: float = DRAIN_S
    _pace: Backoff = field(default_factory=lambda: Backoff(1, 60))
    _made_at_s: float = 0.0
    _seen: int = -1
    _refused: int = 0  # second connections, in a row

    def follow(self) -> None:
        """Until the network ends."""
        while not self.connections.is_over:
            terms = self.inlet.wait_for_terms(self._seen, LOOK_S)
            if terms.version != self._seen:
                self._seen = terms.version
                self._bring_to(self.track(terms))

    def _bring_to(self, track: Track) -> None:
        """Let the stream have this track list, unless newer options come meanwhile."""
        closes_first = self._refused >= KNOWN_AFTER
        while self._is_wanted(track):
            old = self.connections.settled(LOOK_S)
            if old is None:
                continue  # the reader is connecting, perhaps with older options
            if old.track.phrases == track.phrases:
                return
            self._keep_pace()
            try:
                if not self._replace(old, track, closes_first=closes_first):
                    continue
            except LongReadFailed:
                self.inlet.pause(self.pauses.unreachable())
            except StreamRefused as refusal:
                self.inlet.pause(self.pauses.answered(refusal.status, refusal.headers))
                if refusal.mendable and refusal.status not in OF_THE_SECOND:
                    self.inlet.lost(f"the new options cannot be asked for, the older ones still are: {refusal}")
                    return
                closes_first = refusal.status < 500  # others are troubles of the server
                self._refused += closes_first
            else:
                return

    def _replace(self, old: FilterStream, track: Track, *, closes_first: bool) -> bool:
        """False: the reader has connected anew meanwhile, or newer options came. That connection may have them already,
        and is not to be replaced by one with older options."""
        with self.connections.opening:
            if not (self.connections.is_read(old) and self._is_wanted(track)):
                return False
            if closes_first:
                self.connections.give_up(old)  # the reader tells the gap
                return True
            self.connections.name_successor(self.open_stream(track))
        self._refused = 0
        self.connections.drain(old, self.drain_s)
        return True

    def _is_wanted(self, track: Track) -> bool:
        return bool(track.phrases) and not self.connections.is_over and self.inlet.terms.version == self._seen

    def _keep_pace(self) -> None:
        since_s = time.monotonic() - self._made_at_s
        if since_s > QUIET_S:
            self._pace.reset()
        else:
            self.inlet.pause(max(0.0, self._pace.next_s() - since_s))
        self._made_at_s = time.monotonic()
