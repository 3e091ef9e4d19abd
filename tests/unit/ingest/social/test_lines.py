"""Lines of a stream, however it is cut into pieces."""

from __future__ import annotations

import random

import pytest

from quorate.ingest.social.reading.lines import LineCutter, LineTooLong


@pytest.mark.parametrize("seed", range(20))
def test_the_pieces_do_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    lines = [bytes(rng.choice(b"ab \r") for _ in range(rng.randrange(6))) for _ in range(50)]
    stream = b"".join(line + b"\n" for line in lines)
    cutter, found = LineCutter(), []
    while stream:
        size = rng.randrange(1, 12)
        found += cutter.cut(stream[:size])
        stream = stream[size:]
    assert lines == found
    assert not cutter.rest


def test_half_a_line_is_held_back() -> None:
    cutter = LineCutter()
    assert [b"one"] == cutter.cut(b"one\ntw")
    assert b"tw" == cutter.rest
    assert [b"two", b""] == cutter.cut(b"o\n\n")
    assert not cutter.rest


def test_a_line_without_end_is_refused() -> None:
    cutter = LineCutter(bytes_max=10)
    assert [b"short"] == cutter.cut(b"short\n")
    assert [] == cutter.cut(b"x" * 10)
    with pytest.raises(LineTooLong, match="10 bytes"):
        cutter.cut(b"x")
