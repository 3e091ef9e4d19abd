"""A share of the options, where one connection's limits do not hold them all: several readers have one each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from quorate.errors import ConfigError
from quorate.ingest.social.options.stream_poll import StreamPoll

SHARDS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Shard:
    """Number `index` of `of`; the first is 1. An option belongs to the same shard wherever and whenever it is asked."""

    index: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def has(self, option: str) -> bool:
        if self.of == 1:
            return True
        digest = hashlib.blake2b(option.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.index - 1

    def share_of(self, polls: Sequence[StreamPoll]) -> Sequence[StreamPoll]:
        """The polls with the options of this shard; those that have none of them are left out."""
        if self.of == 1:
            return polls
        shares = [replace(poll, options=tuple(filter(self.has, poll.options))) for poll in polls]
        return [share for share in shares if share.options]


def read_shard(text: str) -> Shard:
    """Of `2/3`. Raises `ConfigError`."""
    found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII)
    if found and 1 <= int(found[1]) <= int(found[2]) <= SHARDS_MAX:
        return Shard(int(found[1]), int(found[2]))
    raise ConfigError(f"{text!r} is no shard; give 2/3 for the second of three, of at most {SHARDS_MAX:,}")
