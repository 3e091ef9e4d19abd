"""What a stream of events has shown, over all its connections: it never shows an older tally. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import urlencode

import msgspec

from quorate.client.answers import PollDeleted, PollResults
from quorate.client.calls import Call
from quorate.errors import QuorateError
from quorate.unreadable import UNREADABLE
from quorate.web.sse import ServerEvent, SseReader

Event: TypeAlias = PollResults | PollDeleted
EVENT_BYTES_MAX = 64 * 1024 * 1024  # a poll may have 100,000 options
SILENCE_S = 40.0  # a node sends a sign of life every 15 s
STEADY_S = 1.0  # a connection that held for this long is no failed attempt when it breaks
KINDS: dict[str, type[PollResults] | type[PollDeleted]] = {"results": PollResults, "deleted": PollDeleted}


class Followed:
    def __init__(self, polls: Sequence[str]) -> None:
        query = urlencode([("poll", poll) for poll in polls])
        self._path = f"/events?{query}" if query else "/events"
        self._reader = SseReader()
        self._last_id = ""
        self._shown: dict[str, int] = {}  # poll -> the version of its last event

    def call(self) -> Call[None]:
        """The request that goes on where the last connection ended, at any node."""
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        return Call("GET", self._path, lambda _: None, headers=headers)

    def begin(self) -> None:
        """What the last connection sent of an unfinished event is gone."""
        self._reader = SseReader(line_bytes_max=EVENT_BYTES_MAX, event_bytes_max=EVENT_BYTES_MAX)

    def feed(self, piece: bytes, node: str) -> list[Event]:
        events = [self._read(event, node) for event in self._reader.feed(piece)]
        self._last_id = self._reader.last_id or self._last_id
        return [event for event in events if event is not None and self._is_news(event)]

    def _read(self, event: ServerEvent, node: str) -> Event | None:
        kind = KINDS.get(event.name)
        try:
            return None if kind is None else msgspec.json.decode(event.data, type=kind)
        except UNREADABLE as error:
            raise QuorateError(f"{node} does not send events as a Quorate node does: {error}") from None

    def _is_news(self, event: Event) -> bool:
        is_news = event.version > self._shown.get(event.id, -1)
        if is_news:
            self._shown[event.id] = event.version
        return is_news
