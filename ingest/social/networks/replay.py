"""A file of posts instead of a network: a post in JSON on each line, as `Post` has its fields."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from quorate.client.lines import numbered
from quorate.errors import Conflict, Invalid
from quorate.ingest.social.network import Inlet, Positions
from quorate.ingest.social.post import Post
from quorate.words import count

POSTS_AT_ONCE = 500


class _Place(msgspec.Struct):
    """So many lines were read, and this is the digest of them."""

    line: int = 0
    digest: str = ""


class ReplayNetwork:
    name = "replay"
    promise: Literal["exact"] = "exact"
    keeps = "the whole file"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.source = str(path.resolve())

    def run(self, inlet: Inlet, positions: Positions) -> None:
        place = msgspec.json.decode(positions.get("", "{}"), type=_Place)
        digest = hashlib.blake2b(digest_size=16)
        inlet.connected()
        posts: list[Post] = []
        number = 0
        for number, line in self._lines():
            digest.update(line)
            if number == place.line and digest.hexdigest() != place.digest:
                raise Conflict(
                    f"{self._path} changed in its first {count(number, 'line')}, which were read already; nothing was read now"
                )
            if number > place.line:
                posts += _posts(number, line)
            if len(posts) == POSTS_AT_ONCE:
                inlet.put(posts, _position(number, digest.hexdigest()))
                posts = []
        if number < place.line:
            raise Conflict(
                f"{self._path} has {count(number, 'line')}, and {place.line:,} were read already; nothing was read now"
            )
        inlet.put(posts, _position(number, digest.hexdigest()))

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with self._path.open("rb") as opened:
            yield from numbered(opened)


_decode = msgspec.json.Decoder(Post).decode


def _posts(number: int, line: bytes) -> list[Post]:
    if not line.strip():
        return []
    try:
        return [_decode(line)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"line {number:,} is no post: {error}") from None


def _position(line: int, digest: str) -> dict[str, str]:
    return {"": msgspec.json.encode(_Place(line, digest)).decode()}
