"""The server-sent events of a long read, a batch for each piece that comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from quorate.ingest.social.reading.lines import line_batches
from quorate.web.long_read import LongRead
from quorate.web.sse import ServerEvent, SseReader


def event_batches(
    read: LongRead, reader: SseReader, *, line_s: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[list[ServerEvent]]:
    """The events of each piece that comes, also none: a comment tells that the server is there. See `line_batches`."""
    return line_batches(read, reader.feed, lambda: reader.lines, line_s=line_s, clock=clock)
