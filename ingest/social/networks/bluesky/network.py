"""Bluesky, by Jetstream: all posts of the network, as JSON over a WebSocket. It needs no account.

It is exact: an instance repeats all events from a number on, for about 36 hours. v2 says when a number is older than
that; v1 goes on from its oldest event without a word, so the age of the position is looked at here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from quorate.errors import ConfigError
from quorate.ingest.social.network import Inlet, Positions
from quorate.ingest.social.networks.bluesky.dictionary import fetch_dictionary
from quorate.ingest.social.networks.bluesky.messages import (
    Advice,
    Farewell,
    JetstreamEvent,
    Message,
    NoEvent,
    read_bare,
    read_frame,
)
from quorate.ingest.social.networks.bluesky.place import OLDEST, TIMES_FROM, JetstreamPlace
from quorate.ingest.social.networks.bluesky.servers import MESSAGE_BYTES_MAX, JetstreamServer, Servers
from quorate.ingest.social.networks.defaults import BLUESKY_SILENCE_S, BLUESKY_URLS
from quorate.ingest.social.reading.kept_position import position_in_words
from quorate.ingest.social.reading.pauses import ReconnectPauses
from quorate.shown import name as shown_name
from quorate.unreadable import UNREADABLE
from quorate.web.long_read import LongReadFailed
from quorate.web.web_socket import WebSocket, WebSocketRefused

KEPT_S = 36 * 3600
AHEAD_US = 600_000_000
MESSAGES_AT_ONCE = 500
NONSENSE_MAX = 100  # messages that are none of Jetstream, before the first that is one


class Bluesky:
    """`urls`: instances; another one is asked when one does not answer. `compress`: if the server offers it."""

    name = "bluesky"
    source = ""  # a position says at which instance it holds
    promise: Literal["exact"] = "exact"
    keeps = "about 36 hours"

    def __init__(
        self, urls: Sequence[str] = BLUESKY_URLS, *, compress: bool = True, silence_s: float = BLUESKY_SILENCE_S
    ) -> None:
        self._urls, self._compress, self._silence_s = urls, compress, silence_s

    def run(self, inlet: Inlet, positions: Positions) -> None:
        with position_in_words():
            place = JetstreamPlace.read(positions.get("", ""))
        reading = JetstreamReading(inlet, Servers(self._urls), place, self._silence_s, compress=self._compress)
        while True:
            reading.read_once()


class JetstreamReading:
    """Connection after connection, each from the place where the one before ended."""

    def __init__(
        self,
        inlet: Inlet,
        servers: Servers,
        place: JetstreamPlace,
        silence_s: float,
        *,
        compress: bool,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._inlet, self._servers, self._silence_s, self._compress = inlet, servers, silence_s, compress
        self._unix_s = unix_s
        self._place = place
        self._pauses = ReconnectPauses(unix_s)
        self._was_connected = False
        self._oldest = False  # the place is too old: go on from the oldest event
        servers.prefer(place.server)

    def read_once(self) -> None:
        """One connection, and the pause after it."""
        server = self._servers.current
        try:
            with self._opened(server) as stream:
                pause_s = self._read(stream)
        except WebSocketRefused as refused:
            pause_s = self._refused(server, refused)
        except LongReadFailed as failed:
            pause_s = self._failed(failed)
        self._inlet.pause(pause_s)

    @contextlib.contextmanager
    def _opened(self, server: JetstreamServer) -> Iterator[_EventStream]:
        if self._compress and server.dictionary is None and not server.is_old and not server.has_none:
            server.dictionary = fetch_dictionary(server.base, self._inlet.closing)
        self._tell_if_ahead(server)
        self._tell_if_too_old(server)
        cursor = OLDEST if self._oldest else self._place.cursor(server.base, takes_numbers=not server.is_old)
        socket = WebSocket(server.url(cursor), message_bytes_max=MESSAGE_BYTES_MAX)
        with self._inlet.closing(socket.wake), socket:
            server.has_none = server.dictionary is None  # not asked again with each connection
            yield _EventStream(server, socket, cursor, self._silence_s)

    def _tell_if_ahead(self, server: JetstreamServer) -> None:
        """Jetstream takes a moment in the future for now, without a word."""
        now_us = int(self._unix_s() * 1e6)
        if self._place.time_us > now_us + AHEAD_US and not self._place.has_number_at(server.base):
            self._inlet.lost("the place where the reading ended lies in the future; was a clock wrong?")
            self._place = JetstreamPlace(time_us=now_us)

    def _tell_if_too_old(self, server: JetstreamServer) -> None:
        """v1 does not say it, and neither does v2 to everybody who asks for a time."""
        age_s = self._unix_s() - self._place.time_us / 1e6
        if server.is_old and self._place.is_known and age_s > KEPT_S:
            self._inlet.lost(f"the place is {age_s / 3600:.0f} hours old, and Jetstream keeps about 36 hours")
            self._place = JetstreamPlace(self._place.server, 0, int(self._unix_s() * 1e6) - KEPT_S * 1_000_000)

    # ---- no stream --------------------------------------------------------------------------------------------------

    def _failed(self, failed: LongReadFailed) -> float:
        self._inlet.pause(0)  # a stop closes it, too
        if failed.reason == "redirected" and not self._was_connected:
            raise ConfigError(f"{self._servers.current.base}: {failed}")
        self._inlet.disconnected(failed.reason, f"{self._servers.current.base}: {failed}")
        return 0.0 if self._servers.failed() else self._pauses.unreachable()

    def _refused(self, server: JetstreamServer, refused: WebSocketRefused) -> float:
        error = _error_of(refused.body)
        why = f"{server.base} answers {refused.status}{f' ({error})' if error else ''}"
        if error == "CursorTooOld":
            self._inlet.lost(
                f"{server.base} does not have the place where the reading ended any more: it keeps about "
                "36 hours. It goes on from the oldest post"
            )
            self._oldest = True
            self._inlet.disconnected("place_refused", why)
            return 0.0
        if error == "UnknownZstdDictionary":
            server.dictionary, server.has_none = None, False
            self._inlet.disconnected("dictionary", why)
            return self._pauses.unreachable()
        if refused.status == 404 and not server.is_old and not server.has_answered:
            server.is_old = True  # v1 answers at another path
            return 0.0
        if refused.is_for_people and not self._was_connected:
            raise ConfigError(f"{why}: it is no Jetstream that can be read here")
        self._inlet.disconnected("rate_limited" if refused.status == 429 else f"http_{refused.status}", why)
        pause_s = self._pauses.answered(refused.status, refused.headers)
        return 0.0 if self._servers.failed() else pause_s

    # ---- a stream ---------------------------------------------------------------------------------------------------

    def _read(self, stream: _EventStream) -> float:
        """Until it ends. Returns the pause before the next one."""
        began_s, reason, why = time.monotonic(), "hung_up", "the server ended the stream"
        self._inlet.connected()
        self._was_connected = stream.server.has_answered = True
        self._begin()
        try:
            while True:
                ended = self._take(stream, stream.messages())
                if ended is not None:
                    reason, why = ended
                    break
        except LongReadFailed as failed:
            reason, why = failed.reason, str(failed)
        self._inlet.pause(0)  # a stop closes it, too
        self._inlet.disconnected(reason, f"{stream.server.base}: {why}")
        if reason == "renumbered":
            return 0.0
        return self._pauses.dropped(time.monotonic() - began_s, heard=stream.has_events)

    def _begin(self) -> None:
        """Until an event comes, the moment of the first connection is the place."""
        if not self._place.is_known:
            self._place = JetstreamPlace(time_us=int(self._unix_s() * 1e6))
            self._inlet.put([], {"": self._place.written()})

    def _take(self, stream: _EventStream, messages: Sequence[Message]) -> tuple[str, str] | None:
        """Why the stream is over, if a message says that it is."""
        is_told = self._oldest
        events = [message for message in messages if isinstance(message, JetstreamEvent)]
        if events and not stream.has_events:
            if stream.is_renumbered(events[0]):
                self._place = self._place.without_number()
                return "renumbered", "its numbers began anew, so it is asked for the time of the last post"
            stream.has_events, self._oldest = True, False
            self._pauses.established()
            self._servers.answered()
        if events:
            last = events[-1]
            self._place = JetstreamPlace(stream.server.base, last.seq, last.time_us)
            self._inlet.put([each.post for each in events if each.post is not None], {"": self._place.written()})
        if stream.nonsense and not stream.is_nonsense_told:
            stream.is_nonsense_told = True
            self._inlet.lost("a message could not be read, and so may be others of this connection")
        for message in messages:
            match message:
                case Advice("OutdatedCursor") if not is_told:
                    self._inlet.lost(f"{stream.server.base} has nothing from before the oldest post that it sends now")
                case Farewell(error):
                    return _reason_of(error), f"the server ends the stream ({shown_name(error)})"
        return None


class _EventStream:
    """What comes over one connection."""

    def __init__(self, server: JetstreamServer, socket: WebSocket, cursor: int | None, silence_s: float) -> None:
        self.server, self.has_events = server, False
        self._socket, self._cursor, self._silence_s = socket, cursor, silence_s
        self.nonsense, self.is_nonsense_told = 0, False
        self._speaks_old = False  # it answers whatever path it is asked for

    def is_renumbered(self, first: JetstreamEvent) -> bool:
        """A number from the future is no error to Jetstream: it sends what is new, and says nothing."""
        return self._cursor is not None and 0 < first.seq < self._cursor < TIMES_FROM

    def messages(self) -> list[Message]:
        """What has come, in one piece; at least one message. Raises `LongReadFailed`."""
        found: list[Message] = []
        until_s = time.monotonic() + self._silence_s
        while not found:
            if self._speaks_old and not self.has_events:
                self.server.is_old = True
                raise LongReadFailed("it speaks version 1, so that is asked for", "hung_up")
            if self.nonsense > NONSENSE_MAX and not self.has_events:
                raise LongReadFailed("what comes is no Jetstream", "hung_up")
            if (left_s := until_s - time.monotonic()) <= 0:
                raise LongReadFailed(f"nothing came for {self._silence_s:g} s", "stalled")
            found = self._received(self._socket.receive(left_s))
        return found

    def _received(self, data: bytes | None) -> list[Message]:
        """This message, and what has come behind it. The end of the connection is for the next call."""
        found: list[Message] = []
        with contextlib.suppress(LongReadFailed):
            while data is not None:
                if (message := self._read(data)) is not None:
                    found.append(message)
                data = self._socket.receive(0) if len(found) < MESSAGES_AT_ONCE else None
        return found

    def _read(self, data: bytes) -> Message | None:
        dictionary = None if self.server.is_old else self.server.dictionary
        try:
            if dictionary is not None and not data.startswith(b"{"):
                data = dictionary.unpack(data, MESSAGE_BYTES_MAX)
            return read_bare(data) if self.server.is_old else read_frame(data)
        except (NoEvent, ValueError):
            self.nonsense += 1
            self._speaks_old = self._speaks_old or (not self.server.is_old and _is_old(data))
            return None


def _is_old(data: bytes) -> bool:
    try:
        read_bare(data)
    except NoEvent:
        return False
    return True


class _Error(msgspec.Struct):
    error: str = ""


def _error_of(body: bytes) -> str:
    try:
        return shown_name(msgspec.json.decode(body, type=_Error).error)
    except UNREADABLE:
        return ""


def _reason_of(error: str) -> str:
    return "too_slow" if error == "ConsumerTooSlow" else "hung_up"
