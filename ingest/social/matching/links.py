"""Addresses in a text: of pages, of mail, of people. What stands in them mentions nothing.

Each is found by a sign that it has, and followed from there to both sides, but never into the one before. So a long
text is looked at once, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from quorate.ingest.social.matching.characters import WORD, is_in_word

BREAK = "\x00"  # what stands on both sides of it does not belong together

_follow = re.compile('[^\\s<>"「」『』【】、。\x00]*+').match
_name = f"[{WORD}\\-]++(?:[.+][{WORD}\\-]++)*+"
_follow_name = re.compile(f"@{_name}(?:@{_name})*+").match
_is_domain = re.compile("[a-z0-9\\-]++(?:\\.[a-z0-9\\-]++)*?\\.[a-z]{2,}+").fullmatch
_IN_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+.-")
_IN_DOMAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_BEGINNINGS = ("www.", "mailto:", "did:", "nostr:", "npub1")

_Ends = Callable[[str, int, int], "tuple[int, int] | None"]  # text, where the sign is, the end of the one before


def without_links(folded: str, cut: list[str] | None = None) -> str:
    """The folded text, a `BREAK` in the place of each address. `cut` gets these."""
    if "://" in folded:
        folded = _cut(folded, "://", _page, cut)
    if "/" in folded:
        folded = _cut(folded, "/", _page_without_scheme, cut)
    for beginning in _BEGINNINGS:
        if beginning in folded:
            folded = _cut(folded, beginning, _named, cut)
    if "@" in folded:
        folded = _cut(folded, "@", _person, cut)
    return folded


def _cut(text: str, sign: str, ends: _Ends, cut: list[str] | None) -> str:
    kept: list[str] = []
    end = 0
    at = text.find(sign)
    while at >= 0:
        if (address := ends(text, at, end)) is not None:
            kept += (text[end : address[0]], BREAK)
            if cut is not None:
                cut.append(text[address[0] : address[1]])
            end = address[1]
        at = text.find(sign, max(at + 1, end))
    return "".join([*kept, text[end:]]) if kept else text


def _page(text: str, at: int, least: int) -> tuple[int, int] | None:
    start = at
    while start > least and text[start - 1] in _IN_SCHEME:
        start -= 1
    return (start, _end_of(text, at)) if start < at else None


def _page_without_scheme(text: str, at: int, least: int) -> tuple[int, int] | None:
    """`example.com/cats`. Without a slash it is a word like `node.js`: see `tokens.py`."""
    start = at
    while start > least and text[start - 1] in _IN_DOMAIN:
        start -= 1
    return (start, _end_of(text, at)) if _is_domain(text, start, at) else None


def _named(text: str, at: int, least: int) -> tuple[int, int] | None:
    return None if at and is_in_word(text[at - 1]) else (at, _end_of(text, at))


def _person(text: str, at: int, least: int) -> tuple[int, int] | None:
    """Of mail too. An `@` alone is none."""
    name = _follow_name(text, at)
    if name is None:
        return None
    start = at
    while start > least and (text[start - 1] in ".+-" or is_in_word(text[start - 1])):
        start -= 1
    return start, name.end()


def _end_of(text: str, at: int) -> int:
    found = _follow(text, at)
    return at if found is None else found.end()
