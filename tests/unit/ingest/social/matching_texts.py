"""Ask a matcher in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorate.ingest.social.matching.matcher import Matcher
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.post import Post


def mentioned(options: Sequence[str], text: str, tags: Sequence[str] = (), **rules: Any) -> list[str]:
    """The options of one poll that a post with this text mentions."""
    matcher = Matcher([StreamPoll("p", tuple(options), Rules(**rules))])
    return [mention.option for mention in matcher.match(Post("1", text, tags=tuple(tags)))]
