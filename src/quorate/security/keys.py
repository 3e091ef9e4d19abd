"""How strong a shared key is. It is not known how it was made, so this is a lower hurdle: what is surely too weak.

Whoever sees one handshake between two nodes can try keys on it, as many as their machines can, and nobody notices. So a
key must be drawn at random, and 32 bytes of that are enough for ever.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Iterable

RANDOM_BITS = 256
BYTES_MIN = 16
DIFFERENT_MIN = 6  # of 16 random digits, fewer than this are different once in some ten thousand keys
PERIOD_MAX = 256
ROWS_MAX = 4  # rows that are mixed: a1b2c3 is two
MAKE_ONE = "make one: openssl rand -hex 32"

# The alphabets that tools draw keys from, and the bits that one character of them has.
_ALPHABETS = {
    "0123456789": math.log2(10),
    "0123456789abcdef": 4.0,
    "0123456789ABCDEF": 4.0,
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_": 6.0,
}
_ANY = math.log2(95)


def why_guessable(key: str) -> str | None:
    """Why nobody may use this key, in words; None if it may have been drawn at random."""
    if len(key.encode()) < BYTES_MIN:
        return f"has fewer than {BYTES_MIN} characters"
    if len(set(key)) < DIFFERENT_MIN:
        return f"has only {len(set(key))} different characters"
    if 2 * _most_common(key) > len(key):
        return "is mostly one character"
    if any(
        4 * _equal_pairs(key, apart) > 3 * (len(key) - apart) for apart in range(1, min(len(key) // 2, PERIOD_MAX) + 1)
    ):
        return "repeats itself"
    if any(2 * _most_common(_steps(key, apart)) > len(key) - apart for apart in range(1, ROWS_MAX + 1)):
        return "is made of rows of characters"
    return None


def _most_common(of: Iterable[object]) -> int:
    return max(Counter(of).values())


def _equal_pairs(key: str, apart: int) -> int:
    return sum(map(operator.eq, key, key[apart:]))


def _steps(key: str, apart: int) -> Iterable[int]:
    """How far in the alphabet it is from each character to the one so many places on."""
    return map(operator.sub, map(ord, key[apart:]), map(ord, key))


def is_short(key: str) -> bool:
    """Whether it cannot have 32 random bytes in it, whatever it was made of."""
    bits = next((bits for letters, bits in _ALPHABETS.items() if set(key) <= set(letters)), _ANY)
    return bits * len(key.rstrip("=")) < RANDOM_BITS
