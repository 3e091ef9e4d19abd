"""The lines of a file or a pipe, for commands that read votes: as they come, without a BOM, none kept beyond a limit.

A line has its end, which the last one may lack. One over the limit comes cut, a byte longer than allowed, so that
whoever reads it can say so; its rest is passed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import BinaryIO

LINE_BYTES_MAX = 256 * 1024  # a vote needs a few hundred; a line to publish may be an array of thousands
CHUNK_BYTES = 64 * 1024
BOM = b"\xef\xbb\xbf"


def chunks(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Some lines at a time: of a file whatever size, of a pipe what has come."""
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
    """Each line with its number, from 1."""
    return enumerate(itertools.chain.from_iterable(chunks(stream)), 1)
