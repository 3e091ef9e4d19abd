"""Which characters make words, and which scripts are written without spaces: classes for regular expressions.

Python's own `\\w` leaves out combining marks, without which no word of Hindi is whole. So the classes are made here, of
Python's tables of Unicode. All that follows beyond U+20000 are ideographs.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_END = 0x20000

# Blocks of scripts whose words nothing separates, and of Hangul, whose words end in particles.
_UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x109F),  # Tibetan, Burmese
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x4DBF),  # kana, Bopomofo, Hangul, ideographs
    (0x4E00, 0xA4CF),  # ideographs, Yi
    (0xA960, 0xA9FF),  # Hangul, Javanese, Burmese
    (0xAA60, 0xAADF),  # Burmese, Tai Viet
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),  # ideographs
    (0x16FE0, 0x18D8F),  # Tangut and others
    (0x1AFF0, 0x1B2FF),  # kana, Nüshu
)


def _classed(members: Iterable[int]) -> str:
    """The inside of a class of a regular expression with these characters, in order.

    Characters that Unicode has not given yet join the ranges on both sides: the fewer ranges, the faster.
    """
    ranges: list[list[int]] = []
    for code in members:
        if ranges and _free[ranges[-1][1] + 1] >= code:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def _next_given(given: set[int]) -> list[int]:
    """For each code the first one from it on that is given."""
    found = [_END] * (_END + 1)
    for code in range(_END - 1, 0, -1):
        found[code] = code if code in given else found[code + 1]
    return found


def _by_category() -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for code in range(0x80, _END):
        found.setdefault(unicodedata.category(chr(code)), []).append(code)
    return found


_codes = _by_category()
_free = _next_given({code for category, codes in _codes.items() if category != "Cn" for code in codes})
_unspaced = {code for first, last in _UNSPACED_BLOCKS for code in range(first, last + 1)}
_marks = sorted(code for category, codes in _codes.items() if category[0] == "M" for code in codes)
_word_like = sorted(code for category, codes in _codes.items() if category[0] in "LMN" for code in codes)

MARKS = _classed(_marks)
UNSPACED = _classed(code for code in _word_like if code in _unspaced) + f"\\U{_END:08x}-\\U0003ffff"
WORD = "a-z0-9_" + _classed(code for code in _word_like if code not in _unspaced)  # of a folded text
PICTURES = _classed(_codes["So"])
SYMBOLS = _classed(sorted([*_codes["Sc"], *_codes["Sm"]]))  # beyond ASCII
_WORD_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_").union(
    chr(code) for code in _word_like if code not in _unspaced
)
SKIN_TONES = "\U0001f3fb-\U0001f3ff"
FLAG_LETTERS = "\U0001f1e6-\U0001f1ff"
FLAG_TAGS = "\U000e0020-\U000e007f"  # behind a black flag they name a region
BLACK_FLAG = "\U0001f3f4"
JOINER = "\u200d"  # between emoji: what it joins is one


def is_in_word(char: str) -> bool:
    return char in _WORD_CHARACTERS
