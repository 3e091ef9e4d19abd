"""A file as it was before gzip or zstd: which of them it was is told by its first bytes, and not by its name."""

from __future__ import annotations

import contextlib
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from quorate.errors import Invalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["damage_in_words", "plain", "zstd"]

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def plain(stream: io.BufferedReader) -> BinaryIO:
    first = stream.peek(4)[:4]
    if first.startswith(GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=cast(BinaryIO, _AsItComes(stream))))
    if first == ZSTD:
        return cast(BinaryIO, zstd.ZstdFile(cast(BinaryIO, _AsItComes(stream))))
    return stream


class _AsItComes:
    """Gives what is there. Others write a pipe, or a followed file, and what they have written is not to wait for more
    of it."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return self._stream.read1(size)


@contextlib.contextmanager
def damage_in_words(name: str) -> Iterator[None]:
    """What the libraries raise while a damaged or cut file is read becomes `Invalid`."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
        why = "it ends too early" if isinstance(error, EOFError) else str(error)
        raise Invalid(f"{name} is damaged: {why}") from None
