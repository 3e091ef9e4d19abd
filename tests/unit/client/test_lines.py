"""Lines of files and pipes: the same in pieces of any size, without a byte order mark, and cut at the limit."""

from __future__ import annotations

import io
import tracemalloc

import pytest

from quorate.client.lines import BOM, CHUNK_BYTES, LINE_BYTES_MAX, chunks, numbered


class Pipe(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, at_once: int) -> None:
        super().__init__(data)
        self._at_once = at_once

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(self._at_once)


@pytest.mark.parametrize("at_once", [1, 2, 4, 1_000])
@pytest.mark.parametrize("bom", [b"", BOM])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_lines_are_the_same_however_they_come(at_once: int, bom: bytes, end: bytes) -> None:
    text = b"happy\r\n\n" + BOM + b"sad\nlast" + end
    expected = [(1, b"happy\r\n"), (2, b"\n"), (3, BOM + b"sad\n"), (4, b"last" + end)]
    assert expected == list(numbered(Pipe(bom + text, at_once)))


@pytest.mark.parametrize("bom", [b"", BOM])
def test_only_a_line_over_the_limit_is_cut_and_the_next_is_whole(bom: bytes) -> None:
    longest, longer = b"x" * (LINE_BYTES_MAX - 1) + b"\n", b"x" * LINE_BYTES_MAX + b"\n"
    much_longer = b"x" * (3 * LINE_BYTES_MAX) + b"\n"
    for first in (longest, longer, much_longer):
        lines = [line for _, line in numbered(io.BytesIO(bom + first + b"next"))]
        assert [first[: LINE_BYTES_MAX + 1], b"next"] == lines
    (last,) = numbered(io.BytesIO(bom + b"x" * (3 * LINE_BYTES_MAX)))
    assert (1, b"x" * (LINE_BYTES_MAX + 1)) == last


def test_what_has_come_is_given_before_more_is_asked_for() -> None:
    pipe = Pipe(b"happy\nsad\nhap", 10)
    assert [b"happy\n", b"sad\n"] == next(chunks(pipe))
    assert 10 == pipe.tell()


class Endless(io.BytesIO):
    """A stream of one line in many chunks."""

    def __init__(self, chunks: int) -> None:
        super().__init__()
        self._left = chunks

    def read1(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        return b"x" * CHUNK_BYTES if self._left >= 0 else b""


def test_a_line_without_end_fills_no_memory() -> None:
    tracemalloc.start()
    try:
        assert [LINE_BYTES_MAX + 1] == [len(line) for _, line in numbered(Endless(256))]
        assert tracemalloc.get_traced_memory()[1] < 8 * LINE_BYTES_MAX
    finally:
        tracemalloc.stop()
