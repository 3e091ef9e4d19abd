"""Each kind of reply as bytes, in RESP2 and in RESP3. Other kinds (sets, doubles, big numbers) are never sent."""

from __future__ import annotations

import pytest

from quorate.resp.encoding import TEXT_MAX, Failure, Push, Raw, Simple, Value, Verbatim, encode
from tests.support.resp_client import shape_of

ROWS: list[tuple[Value, bytes, bytes]] = [
    (None, b"$-1\r\n", b"_\r\n"),
    (True, b":1\r\n", b"#t\r\n"),
    (False, b":0\r\n", b"#f\r\n"),
    (0, b":0\r\n", b":0\r\n"),
    (-(2**63), b":-9223372036854775808\r\n", b":-9223372036854775808\r\n"),
    (2**63 - 1, b":9223372036854775807\r\n", b":9223372036854775807\r\n"),
    (b"", b"$0\r\n\r\n", b"$0\r\n\r\n"),
    (b"a\r\nb\x00\xff", b"$6\r\na\r\nb\x00\xff\r\n", b"$6\r\na\r\nb\x00\xff\r\n"),
    ("ü🙂", b"$6\r\n\xc3\xbc\xf0\x9f\x99\x82\r\n", b"$6\r\n\xc3\xbc\xf0\x9f\x99\x82\r\n"),
    (Simple("OK"), b"+OK\r\n", b"+OK\r\n"),
    (Verbatim("ü\n"), b"$3\r\n\xc3\xbc\n\r\n", b"=7\r\ntxt:\xc3\xbc\n\r\n"),
    (Verbatim(""), b"$0\r\n\r\n", b"=4\r\ntxt:\r\n"),
    (Failure("ERR", "no"), b"-ERR no\r\n", b"-ERR no\r\n"),
    ([], b"*0\r\n", b"*0\r\n"),
    (("a", 1), b"*2\r\n$1\r\na\r\n:1\r\n", b"*2\r\n$1\r\na\r\n:1\r\n"),
    ({}, b"*0\r\n", b"%0\r\n"),
    ({"a": 1, "b": None}, b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n$-1\r\n", b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n_\r\n"),
    (Push([b"message", 1]), b"*2\r\n$7\r\nmessage\r\n:1\r\n", b">2\r\n$7\r\nmessage\r\n:1\r\n"),
    (Raw(b"+as it is\r\n"), b"+as it is\r\n", b"+as it is\r\n"),
    (
        [{"a": [True, Verbatim("v")]}, Failure("NOPOLL", "x"), [[None]], Raw(b":7\r\n")],
        b"*4\r\n*2\r\n$1\r\na\r\n*2\r\n:1\r\n$1\r\nv\r\n-NOPOLL x\r\n*1\r\n*1\r\n$-1\r\n:7\r\n",
        b"*4\r\n%1\r\n$1\r\na\r\n*2\r\n#t\r\n=5\r\ntxt:v\r\n-NOPOLL x\r\n*1\r\n*1\r\n_\r\n:7\r\n",
    ),
]


@pytest.mark.parametrize(("value", "resp2", "resp3"), ROWS, ids=lambda value: str(shape_of(value)))
def test_each_kind_is_encoded_as_its_protocol_has_it(value: Value, resp2: bytes, resp3: bytes) -> None:
    assert resp2 == encode(value, 2)
    assert resp3 == encode(value, 3)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one\r\n+OK\r\ntwo", b"-ERR one +OK two\r\n"),
        ("a\nb\tc\x0bd\x85e\u2028f", b"-ERR a b c d e f\r\n"),
        ("bell \x07, escape \x1b[2J, zero \x00", b"-ERR bell ?, escape ?[2J, zero ?\r\n"),
        ("half of a pair \ud800", b"-ERR half of a pair ?\r\n"),
        ("turned \u202eround", b"-ERR turned ?round\r\n"),
        ("🙂", b"-ERR \xf0\x9f\x99\x82\r\n"),
        ("", b"-ERR \r\n"),
        ("x" * (TEXT_MAX + 1), b"-ERR " + b"x" * TEXT_MAX + b"\r\n"),
    ],
)
def test_an_error_is_one_line_whatever_its_words_are(text: str, told: bytes, protocol: int) -> None:
    """What a stranger wrote stands in errors, and a line end in it would begin another reply."""
    assert told == encode(Failure("ERR", text), protocol)
    assert b"*1\r\n" + told == encode([Failure("ERR", text)], protocol)
