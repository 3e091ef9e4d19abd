"""What a matcher finds."""

from __future__ import annotations

from typing import NamedTuple

from quorate.ingest.social.options.stream_poll import StreamPoll


class Mention(NamedTuple):
    """A post mentions this option of this poll."""

    poll: StreamPoll
    option: str
