"""One relay, in a thread of its own: connection after connection, each from where the one before ended."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from quorate.ingest.social.backoff import Backoff
from quorate.ingest.social.network import Inlet
from quorate.ingest.social.networks.nostr.events import (
    Closed,
    HeardNote,
    NostrEvent,
    Other,
    StoredEnds,
    UnreadableNote,
    read_message,
)
from quorate.ingest.social.networks.nostr.subscriptions import LIVE, OVERLAP_S, EndlessPage, Subscriptions, hashtags_of
from quorate.ingest.social.reading.resting import Resting
from quorate.ingest.social.reading.retry_after import retry_after_s
from quorate.shown import name as shown_name
from quorate.web.long_read import LongReadFailed
from quorate.web.web_socket import WebSocket, WebSocketRefused

MESSAGE_BYTES_MAX = 1024 * 1024
MESSAGES_AT_ONCE = 500
LOOK_S = 1.0  # how soon new options are asked for
PLACE_S = 10.0  # how often the place of a relay that says nothing is moved
STORED_WITHIN_S = 60.0  # an answer to a request for stored events begins within this time
NONSENSE_MAX = 100  # messages in a row that are none of Nostr
SEEN_MAX = 50_000
FOR_GOOD = ("auth-required", "restricted", "blocked", "invalid", "unsupported", "pow")


class SeenNotes:
    """The last notes that came, of all relays: what several relays send is handed on once."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def fresh(self, events: Sequence[NostrEvent]) -> list[NostrEvent]:
        with self._lock:
            return [event for event in events if event.id not in self._ids]

    def add(self, events: Sequence[NostrEvent]) -> None:
        """After they are in the inlet: whoever meets them here then moves the place of a relay, behind them."""
        with self._lock:
            self._ids.update(dict.fromkeys(event.id for event in events))
            while len(self._ids) > SEEN_MAX:
                self._ids.popitem(last=False)


class RelayRefuses(Exception):
    """It serves no such subscription, to nobody or not to us."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"it closes the subscription ({shown_name(reason)})")
        self.reason = "rate_limited" if reason == "rate-limited" else "refused"
        self.is_for_good = reason in FOR_GOOD


class NostrRelay:
    """`place_s`: until when all came (Unix, s, by our clock), 0 if nothing ever did. `by_tags`: only the hashtags of
    the options are asked for."""

    def __init__(
        self,
        url: str,
        inlet: Inlet,
        seen: SeenNotes,
        place_s: int,
        *,
        by_tags: bool,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self.url, self.was_connected, self.refusal = url, False, ""
        self.rest = Resting()
        self.forged = 0  # events whose id is not the hash of what they say
        self._inlet, self._seen, self._by_tags, self._unix_s = inlet, seen, by_tags, unix_s
        self._place_s = place_s
        self._socket: WebSocket | None = None
        self._is_closed = False
        self._failing = Backoff(1, 60)
        self._limited = Backoff(60, 3_600)
        self._refused = Backoff(300, 3_600)

    def run(self) -> None:
        """Until `StreamStopped`, or `close`."""
        while not self._is_closed:
            self._inlet.pause(self._read_once())

    def close(self) -> None:
        """For another thread."""
        self._is_closed = True
        if self._socket is not None:
            self._socket.wake()

    def _read_once(self) -> float:
        """One connection. Returns the pause before the next one."""
        terms = self._inlet.terms
        tags = hashtags_of(terms.texts) if self._by_tags else None
        if tags == []:
            self._wait_for_tags(terms.version)
            return 0.0
        self._socket = WebSocket(self.url, message_bytes_max=MESSAGE_BYTES_MAX)
        try:
            with self._inlet.closing(self._socket.wake), self._socket:
                self._listen(self._socket, tags, terms.version)
        except WebSocketRefused as refused:
            self.refusal = f"{refused}: is it a relay?" if refused.is_for_people else ""
            reason = "rate_limited" if refused.status == 429 else f"http_{refused.status}"
            self._disconnected(reason, str(refused))
            pause_s = (self._limited if refused.status == 429 else self._failing).next_s()
            return max(pause_s, retry_after_s(refused.headers, self._unix_s))
        except RelayRefuses as refuses:
            self.refusal = str(refuses) if refuses.is_for_good else ""
            self._disconnected(refuses.reason, str(refuses))
            limited = self._limited if refuses.reason == "rate_limited" else self._failing
            return (self._refused if refuses.is_for_good else limited).next_s()
        except LongReadFailed as failed:
            self.refusal = str(failed) if failed.reason == "redirected" else ""
            if failed.reason != "closed":
                self._disconnected(failed.reason, str(failed))
        return self._failing.next_s()

    def _wait_for_tags(self, version: int) -> None:
        with self.rest.because("no option can be a hashtag; with --feed all all notes are read"):
            while not self._is_closed and self._inlet.wait_for_terms(version, PLACE_S).version == version:
                pass

    def _disconnected(self, reason: str, why: str) -> None:
        self._inlet.disconnected(reason, f"{self.url}: {why}", self.url)

    # ---- a connection -----------------------------------------------------------------------------------------------

    def _listen(self, socket: WebSocket, tags: Sequence[str] | None, version: int) -> None:
        now_s = self.now_s()
        if self._place_s > now_s + OVERLAP_S:
            self.lost("the place where the reading ended lies in the future; was this machine's clock wrong?")
        self._place_s = min(self._place_s, now_s)  # of notes from after a moment in the future, there are none
        since_s = max(1, self._place_s - OVERLAP_S) if self._place_s else 0
        asked = Subscriptions(tags, since_s, now_s)
        socket.send(asked.begin())
        self._inlet.connected(self.url)
        _Listening(self, socket, asked, version).run()

    def heard(self) -> None:
        self.was_connected, self.refusal = True, ""
        for backoff in (self._failing, self._limited, self._refused):
            backoff.reset()

    def moved(self, place_s: int, events: Sequence[NostrEvent]) -> None:
        """These came, and all until `place_s`; 0: not yet."""
        genuine = [event for event in self._seen.fresh(events) if self._is_genuine(event)]
        if place_s:
            self._place_s = place_s
        if genuine or place_s:
            self._inlet.put([event.post() for event in genuine], {self.url: str(place_s)} if place_s else {})
        self._seen.add(genuine)

    def _is_genuine(self, event: NostrEvent) -> bool:
        genuine = event.is_what_its_id_says()
        self.forged += not genuine
        return genuine

    def new_tags(self, version: int) -> tuple[int, list[str] | None]:
        """The tags, if the options have changed."""
        terms = self._inlet.terms
        if not self._by_tags or terms.version == version:
            return version, None
        return terms.version, hashtags_of(terms.texts)

    def now_s(self) -> int:
        return int(self._unix_s())

    def lost(self, why: str) -> None:
        self._inlet.lost(f"{self.url}: {why}", self.url)


class _Listening:
    """What is said over one connection."""

    def __init__(self, relay: NostrRelay, socket: WebSocket, asked: Subscriptions, version: int) -> None:
        self._relay, self._socket, self._asked, self._version = relay, socket, asked, version
        self._nonsense = self._unreadable = 0
        self._moved_at_s = 0.0
        self._waits_until_s = time.monotonic() + STORED_WITHIN_S

    def run(self) -> None:
        while True:
            data = self._socket.receive(LOOK_S)
            events = self._take(data)
            self._move(events, is_idle=data is None)
            self._version, tags = self._relay.new_tags(self._version)
            if tags:
                self._socket.send(self._asked.change_tags(tags, self._relay.now_s()))

    def _take(self, data: bytes | None) -> list[NostrEvent]:
        """The events of this message, and of those that have come behind it."""
        events: list[NostrEvent] = []
        taken = 0
        while data is not None:
            message = read_message(data)
            self._nonsense = 0 if message != Other(is_nostr=False) else self._nonsense + 1
            match message:
                case HeardNote(_, event):
                    self._relay.heard()
                    self._asked_for(event)
                    events.append(event)
                case UnreadableNote():
                    self._relay.heard()
                    self._unreadable += 1
                    if self._unreadable == 1:
                        self._relay.lost("a note could not be read, and so may be others of this connection")
                case StoredEnds(subscription, is_all):
                    self._relay.heard()
                    self._next_page(subscription, is_all=is_all)
                case Closed(subscription, reason):
                    self._ended(subscription, reason)
            self._waits_until_s = time.monotonic() + STORED_WITHIN_S
            taken += 1
            if self._nonsense > NONSENSE_MAX:
                raise LongReadFailed("what comes is no Nostr", "hung_up")
            data = self._socket.receive(0) if taken < MESSAGES_AT_ONCE else None
        return events

    def _asked_for(self, event: NostrEvent) -> None:
        try:
            self._asked.heard(event)
        except EndlessPage:
            raise LongReadFailed("what it has stored does not end", "hung_up") from None

    def _next_page(self, subscription: str, *, is_all: bool) -> None:
        messages, is_cut = self._asked.stored_ends(subscription, is_all=is_all)
        if is_cut:
            self._relay.lost("it has more notes of one second than it sends at once; some of them may be missing")
        for message in messages:
            self._socket.send(message)

    def _ended(self, subscription: str, reason: str) -> None:
        if subscription == LIVE or not self._asked.is_caught_up:
            raise RelayRefuses(reason)

    def _move(self, events: list[NostrEvent], *, is_idle: bool) -> None:
        """Until the gap is closed, the place stays: killed meanwhile, all of it is asked for again."""
        if not self._asked.is_caught_up:
            if time.monotonic() > self._waits_until_s:
                raise LongReadFailed("it does not send what it has stored", "stalled")
            if events:
                self._relay.moved(0, events)
            return
        if events or not is_idle or time.monotonic() > self._moved_at_s + PLACE_S:
            self._moved_at_s = time.monotonic()
            self._relay.moved(self._relay.now_s(), events)
