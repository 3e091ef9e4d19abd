"""Which bodies are parsed on a thread, so that the loop does other things meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from quorate.http.handlers import votes
from quorate.http.handlers.votes import ALONE_MAX
from quorate.http.parse_pool import BIG_BYTES
from quorate.http.vote_body import ParsedVotes, read_votes
from tests.support.http_node import running

GOOD = b'{"option":"happy","id":"x"}'


def array(vote: bytes, count: int) -> bytes:
    return b"[" + b",".join([vote] * count) + b"]"


@pytest.mark.parametrize(
    ("body", "on_the_loop"),
    [
        (array(b"{}", ALONE_MAX), True),
        (array(b"{}", ALONE_MAX + 1), False),  # each is refused in words of its own
        (array(b"0", ALONE_MAX + 1), False),
        (b"\n".join([b"0"] * (ALONE_MAX + 1)), False),
        (b"\n".join([b"0"] * (ALONE_MAX + 1) + [b"{"]), False),  # it is said which line cannot be read
        (array(GOOD, 2 * ALONE_MAX), True),
        (array(GOOD, 2 * ALONE_MAX).ljust(BIG_BYTES), False),
    ],
    ids=["objects", "many objects", "many numbers", "many lines", "many lines and a bad one", "good", "big"],
)
def test_votes_that_take_long_to_read_are_read_on_a_thread(
    body: bytes, on_the_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def noted(*what: Any) -> ParsedVotes:
        threads.append(threading.current_thread().name)
        return read_votes(*what)

    monkeypatch.setattr(votes, "read_votes", noted)
    with running() as node:
        content_type = "application/json" if body.startswith(b"[") else "application/x-ndjson"
        node.ask("POST", "/votes", body, {"Content-Type": content_type})
    assert on_the_loop == (not any(name.startswith("parse") for name in threads)), threads
