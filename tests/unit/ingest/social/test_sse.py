"""Server-sent events, however they are cut into pieces."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.web.sse import ServerEvent, SseReader

STREAM = (
    b"\xef\xbb\xbf:ok\n\n"
    b"event: message\nid: 1\ndata: one\n\n"
    b"id\r\ndata: without an id\r\n\r\n"
    b"data: a\rdata:b\rdata\rid:3\r\r"
    b": a comment\ndata: \xf0\x9f\x98\x80\nunknown: x\nretry: 250\n\n"
    b"id: no\0t taken\nevent: other\ndata:  two spaces\n\n"
    b"id: 4\n\n"
    b"event: without data\n\n"
    b"data: plain\nretry: 1x\n\n"
    b"id: 5\ndata: never ended\n"
)
EVENTS = [
    ServerEvent("message", b"one", "1"),
    ServerEvent("message", b"without an id", ""),
    ServerEvent("message", b"a\nb\n", "3"),
    ServerEvent("message", "😀".encode(), "3"),
    ServerEvent("other", b" two spaces", "3"),
    ServerEvent("message", b"plain", "4"),
]


def read(stream: bytes, cuts: list[int], **limits: int) -> tuple[list[ServerEvent], SseReader]:
    reader = SseReader(**limits)
    ends = [*sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [event for piece in pieces for event in reader.feed(piece)], reader


def test_a_stream_is_read_as_the_standard_says() -> None:
    events, reader = read(STREAM, [])
    assert EVENTS == events
    assert ("4", 0.25) == (reader.last_id, reader.retry_s)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=60))
def test_no_cut_changes_what_is_read(cuts: list[int]) -> None:
    events, reader = read(STREAM, cuts)
    assert EVENTS == events
    assert ("4", 0.25) == (reader.last_id, reader.retry_s)


def test_each_byte_alone_is_read_alike() -> None:
    for end in (b"\n", b"\r", b"\r\n"):
        stream = STREAM.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", end)
        assert EVENTS == read(stream, list(range(len(stream))))[0]


@pytest.mark.parametrize(
    "big",
    [
        b"id: 2\ndata: " + b"x" * 2_000 + b"\n\n",
        b"id: 2\n" + b"data: xxxxxxxxx\n" * 200 + b"\n",
        b"id: 2\n" + b"y" * 2_000 + b"\ndata: fields are read no further\n\n",
    ],
    ids=["a long line", "many lines", "a long unknown line"],
)
def test_an_event_that_is_too_big_is_passed_over(big: bytes) -> None:
    """Its id counts: whoever goes on after it does not meet it again."""
    stream = b"id: 1\ndata: one\n\n" + big + b"data: three\n\n"
    for cuts in ([], list(range(len(stream)))):
        events, reader = read(stream, cuts, line_bytes_max=1_000, event_bytes_max=1_500)
        assert [ServerEvent("message", b"one", "1"), ServerEvent("message", b"three", "2")] == events
        assert 1 == reader.too_big


def test_a_long_comment_spoils_no_event() -> None:
    stream = b"data: one\n:" + b"x" * 2_000 + b"\ndata: more\n\n"
    events, reader = read(stream, [500], line_bytes_max=1_000)
    assert ([ServerEvent("message", b"one\nmore", "")], 0) == (events, reader.too_big)


def test_memory_stays_bounded_in_a_line_that_never_ends() -> None:
    reader = SseReader(line_bytes_max=100_000)
    tracemalloc.start()
    for _ in range(1_000):
        assert [] == reader.feed(b"x" * 10_000)
    for _ in range(400):
        assert [] == reader.feed((b"\ndata: " + b"y" * 1_000) * 10)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 8_000_000 > most
