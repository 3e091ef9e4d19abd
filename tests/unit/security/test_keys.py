"""How strong a shared key is, as far as that can be told by looking at it."""

from __future__ import annotations

import base64
import random
import secrets

import pytest

from quorate.security.keys import is_short, why_guessable

GUESSABLE = {
    "aaaaaaaaaaaaaaaa": "different characters",
    "a" * 64: "different characters",
    "abababababababab": "different characters",
    "abcdefabcdefabcdef": "repeats itself",
    "passwordpassword": "repeats itself",
    "0123456789abcdef0123456789abcdef": "repeats itself",
    "abcdefghijklmnopqrstuvwxyz": "rows",
    "zyxwvutsrqponmlkji": "rows",
    "0123456789abcdef0123456789abcdeX": "repeats itself",
    "hunter2!hunter2?hunter2.hunter2:hunter2": "repeats itself",
    "0" * 58 + "abcdef": "one character",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789": "rows",
    "a1b2c3d4e5f6g7h8i9j1k2l3m4n5o6p7q8r9s1t2u3v4w5": "rows",
    "a good short key": None,
    "short": "fewer than 16",
    "": "fewer than 16",
}


@pytest.mark.parametrize(("key", "why"), GUESSABLE.items())
def test_what_can_be_guessed(key: str, why: str | None) -> None:
    found = why_guessable(key)
    assert found is None if why is None else why in (found or "")


def drawn(rng: random.Random, bytes_: int) -> list[str]:
    data = rng.randbytes(bytes_)
    return [data.hex(), data.hex().upper(), base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()]


def test_what_tools_draw_is_never_refused_and_told_by_its_length() -> None:
    rng = random.Random(4)
    for _ in range(2000):
        for size, short in ((16, True), (24, True), (32, False), (48, False)):
            for key in drawn(rng, size):
                assert (None, short) == (why_guessable(key), is_short(key)), key
    assert not is_short(secrets.token_urlsafe(32))
    assert not is_short("".join(rng.choices("0123456789", k=78)))
    assert is_short("".join(rng.choices("0123456789", k=76)))


def test_words_are_short_until_there_are_many() -> None:
    assert is_short("correct horse battery staple")
