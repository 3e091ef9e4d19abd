"""A client sends the same head with each vote, and it is parsed once. Whoever asks notices nothing of it."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import Misdirected
from quorate.http import arrivals
from quorate.http.arrivals import Arrivals
from quorate.http.known_head import HEAD_BYTES_MAX, known_head
from tests.support.http_node import MOOD, Node, running
from tests.support.tokens import access_by, bearer, write_tokens
from tests.unit.http.test_http_small_votes import LIVEZ, read_all, request


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the parser was given."""
    given: list[bytes] = []
    parse = Arrivals._parse

    def noted(arrivals: Arrivals, data: bytes) -> bool:
        given.append(data)
        return parse(arrivals, data)

    monkeypatch.setattr(Arrivals, "_parse", noted)
    return given


def vote(number: int, option: str = "happy", *lines: str) -> bytes:
    return request({"option": option, "id": f"v{number:04d}"}, *lines)


def answered(sock: Any, data: bytes) -> bytes:
    sock.sendall(data)
    return bytes(sock.recv(65_536))


def test_the_head_of_a_vote_like_the_one_before_is_not_parsed(node: Node, parsed: list[bytes]) -> None:
    with node.dial() as sock:
        for number in range(5):
            assert b'"applied":1' in answered(sock, vote(number))
        assert {"happy": 5, "sad": 0} == node.tally()
    assert 2 == len(parsed), "a new connection is in the middle of its first request, as uvicorn sees it"


KINDS = [
    lambda number: vote(number),
    lambda number: vote(number, "sad"),
    lambda number: vote(number, "none"),
    lambda number: vote(number, "happy", "X-More: 1"),
    lambda number: vote(number, "happy", f"Idempotency-Key: v{number:04d}"),
    lambda number: vote(number, "happy", "Host: b"),
    lambda number: vote(number).replace(b'"id"', b'"ib"'),
    lambda number: LIVEZ,
]


def pieces(chance: random.Random) -> list[tuple[bytes, bool]]:
    """What a client sends, and whether it waits for an answer then."""
    found: list[tuple[bytes, bool]] = []
    for number in range(12):
        data = chance.choice(KINDS)(number)
        match chance.randrange(6):
            case 0:  # with the next ones
                found.append((data + chance.choice(KINDS)(number + 100), True))
            case 1:  # in two
                at = chance.randrange(1, len(data))
                found += [(data[:at], False), (data[at:], True)]
            case 2:  # with the beginning of the next one
                after = vote(number + 100)
                at = chance.randrange(1, len(after))
                found += [(data + after[:at], True), (after[at:], True)]
            case _:
                found.append((data, True))
    return found


def told_to(sent: list[tuple[bytes, bool]]) -> tuple[list[Any], dict[str, int]]:
    """The answers without their dates and versions, and what was counted."""
    with running() as node, node.dial() as sock:
        node.ask("POST", "/polls", MOOD)
        got = b""
        with contextlib.suppress(OSError):  # it was closed
            for data, waits in sent:
                sock.sendall(data)
                got += sock.recv(65_536) if waits else b""
            sock.sendall(LIVEZ.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n")
        got += read_all(sock)
        return re.sub(rb"date: [^\r]*|content-length: [^\r]*|version[^0-9]*[0-9]+", b"", got).split(
            b"HTTP/1.1 "
        ), node.tally()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_before_and_behind_it_each_request_is_answered_as_if_its_head_was_parsed(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = pieces(random.Random(seed))
    told = told_to(sent)
    monkeypatch.setattr(arrivals, "known_head", lambda *_: None)
    assert told_to(sent) == told, f"seed {seed}"


def test_a_body_that_is_longer_than_its_head_says_is_not_taken_whole(node: Node) -> None:
    with node.dial() as sock:
        for number in range(3):
            assert b'"applied":1' in answered(sock, vote(number))
        lie = vote(3).replace(b"Content-Length: 34", b"Content-Length: 24")
        assert b"HTTP/1.1 400 " in answered(sock, lie)
        assert {"happy": 3, "sad": 0} == node.tally()


def test_who_asks_is_looked_at_each_time(tmp_path: Path) -> None:
    file = write_tokens(tmp_path / "tokens.toml", {"ann": "vote", "manage": "manage"})
    fewer = write_tokens(tmp_path / "fewer.toml", {"manage": "manage"}).read_bytes()
    with running(access=partial(access_by, file)) as node, node.dial() as sock:
        node.ask("POST", "/polls", MOOD, bearer("manage"))
        for number in range(3):
            assert b'"applied":1' in answered(sock, vote(number, "happy", "Authorization: Bearer ann"))
        assert node.api.access._file is not None
        for _ in range(2):  # what was read twice holds
            node.call(node.api.access._file.take, fewer)
        assert b"HTTP/1.1 401 " in answered(sock, vote(4, "happy", "Authorization: Bearer ann"))
        assert {"happy": 3, "sad": 0} == node.tally()


def test_by_which_name_it_asks_is_looked_at_each_time(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise Misdirected("this name is not ours any more")

    with node.dial() as sock:
        for number in range(3):
            assert b'"applied":1' in answered(sock, vote(number))
        monkeypatch.setattr(node.api.origins, "check", refused)
        assert b"HTTP/1.1 421 " in answered(sock, vote(4))


@pytest.mark.parametrize(
    ("data", "body_bytes", "head"),
    [
        (b"POST / HTTP/1.1\r\nA: b\r\n\r\nbody", 4, b"POST / HTTP/1.1\r\nA: b\r\n\r\n"),
        (b"POST / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n", 4, None),  # more than the request
        (b"\r\n\r\nPOST / HTTP/1.1\r\nA: b\r\n\r\nbody", 4, None),
        (b"POST / HTTP/1.1\r\nA: %b\r\n\r\nbody" % (b"b" * HEAD_BYTES_MAX), 4, None),
        (b"body", 4, None),  # the head came before it
    ],
)
def test_which_heads_are_known(data: bytes, body_bytes: int, head: bytes | None) -> None:
    known = known_head(data, [], body_bytes)
    assert (None if known is None else known.size) == (None if head is None else len(head) + body_bytes)
