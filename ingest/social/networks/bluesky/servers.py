"""The instances of Jetstream that a stream may ask, one at a time, and how each is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from quorate.ingest.social.networks.bluesky.dictionary import Dictionary
from quorate.ingest.social.networks.bluesky.messages import POSTS

EVENTS = "/xrpc/network.bsky.jetstream.subscribeEvents"
OLD_EVENTS = "/subscribe"
MESSAGE_BYTES_MAX = 2 * 1024 * 1024  # a record has at most 1 MiB
TRIES = 3  # in vain, before another instance is asked


@dataclass(slots=True)
class JetstreamServer:
    """`base` is its URL without a path. `is_old`: it speaks v1 alone. `dictionary` is that of its compression, once it
    was fetched; `has_none`: it gave none. `has_answered`: it has streamed."""

    base: str
    is_old: bool = False
    dictionary: Dictionary | None = None
    has_none: bool = False
    has_answered: bool = False

    def url(self, cursor: int | None) -> str:
        if self.is_old:
            query: dict[str, object] = {"wantedCollections": POSTS}
        else:
            query = {"kinds": "commit", "collections": POSTS}
        query["maxMessageSizeBytes"] = MESSAGE_BYTES_MAX  # a longer one would end each connection at the same place
        if cursor is not None:
            query["cursor"] = cursor
        if self.dictionary is not None and not self.is_old:
            query["zstdDictionary"] = self.dictionary.id
        return f"{self.base}{OLD_EVENTS if self.is_old else EVENTS}?{urlencode(query)}"


def server_of(url: str) -> JetstreamServer:
    """A URL with the path of one of the two versions names that version; one without a path names v2."""
    base = url.rstrip("/")
    for path, is_old in ((EVENTS, False), (OLD_EVENTS, True)):
        if base.endswith(path):
            return JetstreamServer(base.removesuffix(path), is_old)
    return JetstreamServer(base)


class Servers:
    """Which instance to ask: the same one as long as it answers."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._servers = [server_of(url) for url in urls]
        self._at = self._in_vain = 0

    @property
    def current(self) -> JetstreamServer:
        return self._servers[self._at]

    def prefer(self, base: str) -> None:
        """Where the position is, if it is one of them."""
        self._at = next((at for at, each in enumerate(self._servers) if each.base == base), self._at)

    def answered(self) -> None:
        self._in_vain = 0

    def failed(self) -> bool:
        """Whether another instance is asked from now on."""
        self._in_vain += 1
        if self._in_vain < TRIES or len(self._servers) == 1:
            return False
        self._at, self._in_vain = (self._at + 1) % len(self._servers), 0
        return True
