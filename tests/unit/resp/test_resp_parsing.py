from __future__ import annotations

import itertools
import sys
import tracemalloc
from types import FrameType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quorate.resp.parsing import ARGUMENTS_MAX, TOO_MANY, Command, RequestParser
from tests.support.resp_client import command

ALL = 10**9


def taken(pieces: list[bytes], most: int = ALL) -> tuple[list[Command], str | None]:
    """The commands, and what ended them, of a stream that comes in these pieces."""
    parser = RequestParser()
    commands: list[Command] = []
    for piece in pieces:
        parser.feed(piece)
        while parser.left_bytes:
            commands += (each for each in parser.take(most) if isinstance(each, list))
    return commands, None if parser.failed is None else repr(parser.failed)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in itertools.pairwise(ends)]


words = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([b"", b"\r\n", b"\n", b"$3\r\nabc", b"*1\r\n", b"XADD", b"a" * 300]),
)
commands = st.lists(words, min_size=1, max_size=5)
pieces_of_streams = st.one_of(
    commands.map(lambda each: command(*each)),
    st.sampled_from([b"PING\r\n", b"\r\n", b"\n", b"*0\r\n", b"*-1\r\n", b'ECHO "a b"\n', b"*1\n$4\nPING\r\n"]),
)
wrong = st.sampled_from(
    [
        b"*1\r\n:4\r\n",
        b"*x\r\n",
        b"$3\r\nabc\r\n",
        b"*1\r\n$3\r\nabcde\r\n",
        b"GET / HTTP/1.1\r\n",
        b"",
        b"*1\r\n$-1\r\n",
    ]
)


@given(st.lists(pieces_of_streams, max_size=12), wrong, st.lists(st.integers(0, 10_000), max_size=12))
@example([b"*2\r\n$2\r\n\r\n\r\n$0\r\n\r\n"], b"", [6, 7, 8, 9, 10])
def test_a_stream_has_the_same_commands_however_it_is_cut(streams: list[bytes], last: bytes, places: list[int]) -> None:
    stream = b"".join(streams) + last
    whole = taken([stream])
    assert whole == taken(cut(stream, places))
    assert whole == taken([bytes([byte]) for byte in stream])
    assert whole == taken(cut(stream, places), most=1)


@given(st.lists(commands, max_size=20))
def test_what_a_client_sends_is_what_comes(sent: list[list[bytes]]) -> None:
    assert (sent, None) == taken([b"".join(command(*each) for each in sent)])


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_bytes_that_are_no_protocol_end_it_or_are_lines(stream: bytes, places: list[int]) -> None:
    assert taken([stream]) == taken(cut(stream, places))


COUNT = "ProtocolError('invalid multibulk length')"
MANY = f"ProtocolError('{TOO_MANY}')"
LENGTH = "ProtocolError('invalid bulk length')"


@pytest.mark.parametrize(
    ("stream", "failed"),
    [
        (b"*4294967295\r\n", MANY),
        (b"*%d\r\n" % (ARGUMENTS_MAX + 1), MANY),
        (command(*[""] * (ARGUMENTS_MAX + 1)), MANY),  # which fit into what is split at once
        (b"*99999999999999999999999\r\n", COUNT),
        (b"*" + b"9" * 60, COUNT),  # no end of the line is needed
        (b"*1 \r\n", COUNT),
        (b"*+1\r\n", COUNT),
        (b"*--1\r\n", COUNT),
        (b"*\r\n", COUNT),
        (b"*1\r\n$99999999999\r\n", LENGTH),
        (b"*1\r\n$16385\r\n", LENGTH),
        (b"*1\r\n$-1\r\n", LENGTH),
        (b"*1\r\n$" + b"1" * 60, LENGTH),
        (b"*1\r\n$\r\n", LENGTH),
        (b"*1\r\n$4\r\nPINGPONG\r\n", LENGTH),
        (b"*1\r\n+PING\r\n", "ProtocolError(\"expected '$', got '+'\")"),
        (b"a" * 8_193, "ProtocolError('too big inline request')"),
        (b'ECHO "a\r\n', "ProtocolError('unbalanced quotes in request')"),
        (b'ECHO "a"b\r\n', "ProtocolError('unbalanced quotes in request')"),
    ],
)
def test_what_is_too_much_or_wrong_ends_it(stream: bytes, failed: str) -> None:
    assert ([[b"ECHO", b"a"]], failed) == taken([command("ECHO", "a") + stream])
    assert ([], failed) == taken([stream + command("ECHO", "never")])


def test_a_command_has_a_megabyte_at_most() -> None:
    argument = b"a" * 16_384
    assert ([[argument] * 64], None) == taken([command(*[argument] * 64)])
    assert ([], LENGTH) == taken([command(*[argument] * 64, "b")])


def test_nothing_is_made_for_what_a_head_claims() -> None:
    streams = [b"*1024\r\n", b"*1\r\n$16384\r\n", b"*1024\r\n$16384\r\n" + b"a" * 100]
    tracemalloc.start()
    try:
        parsers = [RequestParser() for _ in range(300)]
        before, _ = tracemalloc.get_traced_memory()
        for number, parser in enumerate(parsers):
            parser.feed(streams[number % 3])
            parser.take(ALL)
        taken_bytes = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert all(parser.waits for parser in parsers)
    assert taken_bytes < 300 * 2_000


def test_a_command_that_has_not_come_whole_tells_what_it_takes() -> None:
    parser = RequestParser()
    parser.feed(b"*1024\r\n" + b"$60\r\n%b\r\n" % (b"a" * 60) * 1_023)
    takes = 0
    while parser.left_bytes:
        assert [] == parser.take(ALL)
        takes += 1
    assert takes > 3, "others have their turn before the rest of it is read"
    assert parser.held_bytes > 1_023 * 100  # an argument takes memory beside its bytes


def test_what_comes_while_other_bytes_wait_stays_behind_them() -> None:
    """The first piece was taken whole, and what came next went before the second."""
    parser = RequestParser()
    parser.feed(command("a") * 2)
    parser.feed(command("b"))
    assert [[b"a"]] * 2 == parser.take(2)
    parser.feed(command("c"))
    assert [[b"b"], [b"c"]] == parser.take(ALL)


def test_commands_stay_bytes_until_they_are_asked_for() -> None:
    """A command takes fifty times the memory of its bytes."""
    parser = RequestParser()
    parser.feed(b"ab\n" * 1_000)
    assert [[b"ab"]] * 10 == parser.take(10)
    assert 3 * 990 == parser.left_bytes
    parser.feed(b"cd\n")
    assert [b"cd"] == parser.take(ALL)[-1]
    assert 0 == parser.left_bytes


def test_empty_lines_count_as_commands_that_are_asked_for() -> None:
    parser = RequestParser()
    parser.feed(b"\n*0\r\n" * 100 + command("PING"))
    assert [] == parser.take(100)
    assert parser.left_bytes > 100
    assert [[b"PING"]] == parser.take(ALL)


@pytest.mark.parametrize(
    "each",
    [b"PING\r\n", b"\n", b"*-1\r\n", b"*1\r\n$2\r\n\r\n\r\n", command("PING"), command("ECHO", "a" * 300), b"a\n" * 9],
)
def test_to_take_a_stream_apart_costs_as_much_as_its_bytes(each: bytes) -> None:
    """All that is split: seconds tell little on a busy machine. It was the square of the bytes, and four pipelined
    lines a byte held a node for a minute."""
    stream, split_bytes = each * (200_000 // len(each)), 0

    def note(_: FrameType, event: str, called: object) -> None:
        nonlocal split_bytes
        if event == "c_call" and getattr(called, "__name__", "") in ("split", "join"):
            split_bytes += len(getattr(called, "__self__", b""))

    parser = RequestParser()
    parser.feed(stream)
    sys.setprofile(note)
    try:
        while parser.left_bytes:
            parser.take(500)
    finally:
        sys.setprofile(None)
    assert split_bytes < 5 * len(stream)


def test_a_stream_that_comes_byte_by_byte_costs_as_much_as_its_bytes() -> None:
    def calls_for(stream: bytes) -> int:
        calls, parser = 0, RequestParser()

        def note(*_: object) -> None:
            nonlocal calls
            calls += 1

        sys.setprofile(note)
        try:
            for byte in stream:
                parser.feed(bytes([byte]))
                parser.take(500)
        finally:
            sys.setprofile(None)
        return calls

    stream = command("ECHO", "a" * 1_000)
    assert calls_for(stream * 8) < 8.5 * calls_for(stream)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"  PING   a\tb ", [b"PING", b"a", b"b"]),
        (b'ECHO "a b"', [b"ECHO", b"a b"]),
        (b"ECHO 'a b'", [b"ECHO", b"a b"]),
        (b'ECHO ""', [b"ECHO", b""]),
        (b'ECHO "\\x41\\n\\t\\q\\"" b', [b"ECHO", b'A\n\tq"', b"b"]),
        (b"ECHO 'it\\'s \\n'", [b"ECHO", b"it's \\n"]),
        (b"ECHO a\\b", [b"ECHO", b"a\\b"]),
        (b'ECHO pre"fix ed"', [b"ECHO", b"prefix ed"]),
        ("ECHO 'süß'".encode(), [b"ECHO", "süß".encode()]),
    ],
)
def test_a_line_has_words(line: bytes, found: Command) -> None:
    assert ([found], None) == taken([line + b"\r\n"])
    assert ([found], None) == taken([line + b"\n"])


@pytest.mark.parametrize(
    "line",
    [
        *(b"%b / HTTP/1.1" % method for method in (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS")),
        *(b"%b / HTTP/1.1" % method for method in (b"TRACE", b"CONNECT", b"PROPFIND", b"get", b"pOsT", b"M-SEARCH")),
        b"GET http://127.0.0.1:6379/ HTTP/1.1",
        b"CONNECT 127.0.0.1:6379 HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"POST /a b c HTTP/1.1",
        b'POST /" HTTP/1.1',
        b"post / http/1.1",
        b"POST",
        b"POST /",
        b"Host: evil.example",
        b"host:evil.example",
        b"  POST / HTTP/1.1",
        b"POST /" + b"a" * 9_000,
        b"GET /" + b"a" * 9_000,
    ],
)
def test_a_line_of_http_ends_it(line: bytes) -> None:
    body = b"\r\nHost: a\r\n\r\n" + command("PING")
    assert ([], "HttpSpoken()") == taken([line + body])
    assert ([], "HttpSpoken()") == taken([bytes([byte]) for byte in line + body])
