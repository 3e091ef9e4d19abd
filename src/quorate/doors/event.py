"""One event of an event stream: of a poll, as JSON. Each door frames it once, however many clients are sent it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Frame = Callable[["Event"], bytes]

encode = msgspec.json.Encoder().encode


class Event:
    """`kind` is results, poll or deleted. `version` is that of the state that it was made from.

    A `document` that is bytes is written already.
    """

    __slots__ = ("_framed", "document", "kind", "poll_id", "version")

    def __init__(self, kind: str, poll_id: str, document: Mapping[str, Any] | bytes, version: int) -> None:
        self.kind, self.poll_id, self.version = kind, poll_id, version
        self.document = document if isinstance(document, bytes) else encode(document)
        self._framed: dict[Frame, bytes] = {}

    def framed(self, frame: Frame) -> bytes:
        """As one door sends it. All its clients share the same bytes."""
        data = self._framed.get(frame)
        if data is None:
            data = self._framed[frame] = frame(self)
        return data


def as_server_sent(event: Event) -> bytes:
    """For an HTML `EventSource`, without the id."""
    return b"event: %b\ndata: %b\n\n" % (event.kind.encode(), event.document)
