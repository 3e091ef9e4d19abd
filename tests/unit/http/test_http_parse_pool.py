"""Which bodies are parsed on a thread, so that the loop does other things meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest

from quorate.http.parse_pool import BIG_BYTES, SEPARATORS_MAX, ParsePool


@pytest.mark.parametrize(
    ("body", "on_the_loop"),
    [
        (b"[" + b"{}," * SEPARATORS_MAX + b"{}]", True),
        (b"[{}," + b"{}," * SEPARATORS_MAX + b"{}]", False),  # each is refused in words of its own
        (b"[0," + b"0," * SEPARATORS_MAX + b"0]", False),
        (b"0\n" + b"0\n" * SEPARATORS_MAX, False),
        (b" " * (BIG_BYTES - 1), True),
        (b" " * BIG_BYTES, False),
    ],
    ids=["objects", "many objects", "many numbers", "many lines", "small", "big"],
)
def test_what_is_big_by_bytes_or_by_votes_is_parsed_on_a_thread(body: bytes, on_the_loop: bool) -> None:
    async def parse() -> int:
        pool = ParsePool()
        try:
            return await pool.parse(lambda body: threading.get_ident(), body)
        finally:
            pool.stop()

    assert on_the_loop == (threading.get_ident() == asyncio.run(parse()))
