"""Which options a post mentions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.ingest.social.post import Post

_WORDS = re.compile(r"\w+")


class Mention(NamedTuple):
    """A post mentions this option of this poll."""

    poll: StreamPoll
    option: str


class Matcher:
    """Knows the options of all polls. It is made anew when they change, and is used by one thread at a time.

    Raises `ConfigError`, which names them, if options of a poll cannot be told from each other.
    """

    def __init__(self, polls: Sequence[StreamPoll]) -> None:
        self._options: dict[str, list[Mention]] = {}
        for poll in polls:
            for option in poll.options:
                self._options.setdefault(_folded(option), []).append(Mention(poll, option))

    def match(self, post: Post) -> list[Mention]:
        """Each option of each poll at most once."""
        words = dict.fromkeys(_WORDS.findall(_folded(" ".join([post.text, *post.tags]))))
        return [mention for word in words for mention in self._of(word, post)]

    def _of(self, word: str, post: Post) -> Iterator[Mention]:
        for mention in self._options.get(word, ()):
            if mention.poll.rules.reposts or not post.is_repost:
                yield mention


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
