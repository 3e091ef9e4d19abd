"""Connection after connection to EventStreams, each from the place where the one before ended."""

from __future__ import annotations

import time
from collections.abc import Callable

import requests

from quorate import __version__
from quorate.errors import ConfigError
from quorate.ingest.social.backoff import Backoff
from quorate.ingest.social.network import Inlet
from quorate.ingest.social.networks.wikimedia.changes import NoChange, WikiChange
from quorate.ingest.social.networks.wikimedia.place import BACK_MS, PlaceKeeper, StreamPlace
from quorate.ingest.social.post import Post
from quorate.ingest.social.reading.retry_after import date_s, retry_after_s
from quorate.ingest.social.reading.sse import event_batches
from quorate.shown import name
from quorate.web.long_read import LongRead, LongReadFailed
from quorate.web.sse import ServerEvent, SseReader

HUNG_UP_S = 0.25  # before the next connection, if something came over the last one
RETRY_MAX_S = 60.0
BACK_WITHOUT_ID_MS = 60_000  # how far back of the last event's own time, which is not quite that of its arrival
FUTILE_MAX = 20
ERRORS_MAX = 3  # then the place is taken for what it fails at
FOR_PEOPLE = (400, 401, 403, 404, 405, 410)  # waiting changes nothing, if it has never answered otherwise
NO_SUCH_PLACE = (400, 404, 410, 416, 431)

AGENT_POLICY = "https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy"


class ChangeReading:
    """`read_once` is one connection, and the pause after it. `contact`: how to reach whoever runs this."""

    def __init__(
        self,
        inlet: Inlet,
        url: str,
        contact: str,
        silence_s: float,
        place: StreamPlace,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._inlet, self._url, self._contact, self._silence_s, self._unix_s = inlet, url, contact, silence_s, unix_s
        self._place = place
        self._failing = Backoff(1, RETRY_MAX_S)
        self._limited = Backoff(15, 300)
        self._was_connected = False
        self._errors = 0  # connections, one after another, that brought an error alone
        self._futile = 0  # connections, one after another, that only repeated

    def read_once(self) -> None:
        read = LongRead("GET", self._url, silence_s=self._silence_s, headers=self._headers(), params=self._params())
        try:
            with self._inlet.closing(read.wake), read:
                pause_s = self._read(read)
        except LongReadFailed as failed:
            pause_s = self._not_answered(failed)
        self._inlet.pause(pause_s)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache", "User-Agent": user_agent(self._contact)}
        back_ms = BACK_MS
        if self._futile >= FUTILE_MAX:
            back_ms = 0  # more events of one millisecond than this server sends over a connection
            if self._futile == FUTILE_MAX:
                self._inlet.lost("the server hangs up before it sends anything new; what it passes over may be missing")
        if last_id := self._place.last_event_id(back_ms):
            headers["Last-Event-ID"] = last_id.encode().decode("latin-1")
        return headers

    def _params(self) -> dict[str, str]:
        return {"since": str(self._place.ms)} if self._place.ms and not self._place.last_event_id() else {}

    # ---- no answer, or one that is no stream ------------------------------------------------------------------------

    def _not_answered(self, failed: LongReadFailed) -> float:
        if failed.reason == "redirected":
            return self._for_people(str(failed), "redirected")
        self._ended(failed)
        return self._failing.next_s()

    def _ended(self, failed: LongReadFailed) -> None:
        if failed.reason != "closed":  # by a stop
            self._inlet.disconnected(failed.reason, str(failed))

    def _refused(self, read: LongRead) -> float:
        why = f"it answers {read.status}{_words(read.error_body())}"
        asked_s = retry_after_s(read.headers, self._unix_s)
        if read.status in NO_SUCH_PLACE and self._place.last_event_id():
            return self._place_refused(why)
        if read.status in (403, 429) and not self._contact:
            why += f"; it asks for a way to reach you in the User-Agent ({AGENT_POLICY}): give --contact"
        if read.status in FOR_PEOPLE:
            return max(asked_s, self._for_people(why, f"http_{read.status}"))
        limited = read.status == 429
        self._inlet.disconnected("rate_limited" if limited else f"http_{read.status}", why)
        return max(asked_s, (self._limited if limited else self._failing).next_s())

    def _place_refused(self, why: str) -> float:
        """The time is the only other place that there is."""
        since_ms = max(0, self._place.ms - BACK_WITHOUT_ID_MS)
        self._inlet.disconnected("place_refused", why)
        self._inlet.lost(
            "the server does not know the place where the reading ended; it is asked for what happened since a minute "
            "before, and what it does not have of that is missing"
            if since_ms
            else "the server does not know the place where the reading ended; it goes on from now"
        )
        self._place = StreamPlace(since_ms)
        self._errors = 0
        return HUNG_UP_S

    def _for_people(self, why: str, reason: str) -> float:
        """A server that has sent changes before is asked again, but not often: this may pass as it came."""
        if not self._was_connected:
            raise ConfigError(f"{self._url} does not send changes: {why}")
        self._inlet.disconnected(reason, why)
        return self._limited.next_s()

    # ---- a stream ---------------------------------------------------------------------------------------------------

    def _read(self, read: LongRead) -> float:
        """Until it ends. Returns the pause before the next one."""
        if read.status != 200:
            return self._refused(read)
        kind = read.headers.get("Content-Type", "")
        if not kind.lower().startswith("text/event-stream"):
            return self._for_people(f"it answers with {name(kind) or 'something'} and no events", "no_stream")
        self._inlet.connected()
        self._was_connected = True
        self._limited.reset()
        self._begin(read)
        stream = _ChangeStream(self._inlet, self._place)
        try:
            for events in event_batches(read, stream.reader, line_s=self._silence_s):
                stream.take(events)
            self._inlet.disconnected("hung_up", "the server ended the stream")
        except LongReadFailed as failed:
            self._ended(failed)
        self._place = stream.keeper.place
        if stream.has_error and not stream.has_events and self._place.last_event_id():
            self._errors += 1
            if self._errors >= ERRORS_MAX:
                return self._place_refused("it tells of an error each time")
        else:
            self._errors = 0
        self._futile = 0 if stream.keeper.is_further else self._futile + stream.has_events
        if not stream.has_events:
            return self._failing.next_s()
        self._failing.reset()
        return max(HUNG_UP_S, min(stream.reader.retry_s or 0.0, RETRY_MAX_S))

    def _begin(self, read: LongRead) -> None:
        """Until an event comes, the moment of the first answer is the place, by the server's clock."""
        if self._place == StreamPlace():
            now_s = date_s(read.headers.get("Date", "")) or self._unix_s()
            self._place = StreamPlace(int(now_s * 1000))
            self._inlet.put([], {"": self._place.written()})


class _ChangeStream:
    """What comes over one connection."""

    def __init__(self, inlet: Inlet, place: StreamPlace) -> None:
        self._inlet = inlet
        self._no_changes = 0
        self._told_unreadable = False
        self.keeper = PlaceKeeper(place)
        self.reader = SseReader()
        self.has_events = self.has_error = False

    def take(self, events: list[ServerEvent]) -> None:
        posts: list[Post] = []
        for event in events:
            if event.name == "error":
                self.has_error = True
                self._put(posts)
                raise LongReadFailed("the server tells of an error of its own", "hung_up")
            self.has_events = True
            posts += self._posts(event)
        unreadable = self._no_changes + self.reader.too_big
        if unreadable and not self._told_unreadable:
            self._told_unreadable = True
            self._inlet.lost("an event was too big, or no JSON object, and so may be others of this connection")
        if events:
            self._put(posts)

    def _put(self, posts: list[Post]) -> None:
        self._inlet.put(posts, {"": self.keeper.place.written()})

    def _posts(self, event: ServerEvent) -> list[Post]:
        try:
            change = WikiChange(event.data)
        except NoChange:
            self._no_changes += 1
            return []
        if missing := self.keeper.follow(event.id, change.key, change.ms, change.topic):
            self._inlet.lost(
                f"the server's history begins behind the place where the reading ended: it lacks {missing}"
            )
        return [] if change.is_canary else [change.post()]


def user_agent(contact: str) -> str:
    """As Wikimedia's policy has it: the client, how to reach its user, and the library."""
    contact = contact or "a vote counter; no contact given"
    return f"quorate/{__version__} ({contact}) python-requests/{requests.__version__}"


def _words(body: bytes) -> str:
    """What an answer says of its refusal, if it is short and no page."""
    text = " ".join(body.decode(errors="replace").split())
    return f": {name(text)}" if text and not text.startswith("<") else ""
