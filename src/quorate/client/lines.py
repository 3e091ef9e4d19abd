"""Reads the lines of a file or a pipe, for commands that read votes. A byte order mark is dropped.

A line includes its line end; the last line may have none. A line over the limit is cut to one byte more than the limit,
so that the caller can report it, and the rest of the line is skipped. So memory stays bounded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import BinaryIO

LINE_BYTES_MAX = (
    256 * 1024
)  # a vote has a few hundred bytes, but a line to publish may be an array of thousands of votes
CHUNK_BYTES = 64 * 1024
BOM = b"\xef\xbb\xbf"


def chunks(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Some lines at a time, as soon as they can be read."""
    rest, bom = b"", BOM
    while chunk := stream.read1(CHUNK_BYTES):  # type: ignore[attr-defined]  # all buffered streams have it
        *whole, rest = (rest + chunk).split(b"\n")
        if whole:
            whole[0], bom = whole[0].removeprefix(bom), b""
        yield [(line + b"\n")[: LINE_BYTES_MAX + 1] for line in whole]
        rest = rest[: len(BOM) + LINE_BYTES_MAX + 1]
    if rest:
        yield [rest.removeprefix(bom)[: LINE_BYTES_MAX + 1]]


def numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line with its number. The first line has number 1."""
    return enumerate(itertools.chain.from_iterable(chunks(stream)), 1)
