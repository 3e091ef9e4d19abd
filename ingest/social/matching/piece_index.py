"""Finds pieces of text in a text, wherever they stand, in one pass.

The first characters of a piece, three if it has as many, are looked up at each place of the text. Where many pieces
begin alike, their next three characters are looked up, and so on; where few are left, they are compared. Three at once,
since most places of a text begin like some piece, and few go on like one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from quorate.ingest.social.matching.characters import MARKS, WORD
from quorate.ingest.social.matching.mention import Mention

STEP = 3
FEW = 4

_is_word = re.compile(f"[{WORD}]").match
_is_mark = re.compile(f"[{MARKS}]").match


@dataclass(slots=True)
class _SoughtText:
    text: str
    mentions: list[Mention] = field(default_factory=list)


class _Tree(NamedTuple):
    """Pieces that are alike up to here. A `few` are compared. Of the others so many of the next characters are looked
    up: `steps` has from where to where, counted from the beginning of the piece, and what finds the tree that follows.
    """

    few: Sequence[_SoughtText]
    steps: Sequence[tuple[int, int, Callable[[str], _Tree | None]]]


class PieceIndex:
    def __init__(self) -> None:
        self._sought: dict[str, _SoughtText] = {}
        self._tree = _Tree((), ())

    def __bool__(self) -> bool:
        return bool(self._sought)

    def add(self, text: str, mention: Mention) -> None:
        self._sought.setdefault(text, _SoughtText(text)).mentions.append(mention)

    def close(self) -> None:
        """All pieces are there: make the tree."""
        self._tree = _grown([*self._sought.values()], 0)

    def find(self, text: str, is_whole: Callable[[str, int, int], bool] | None = None) -> list[tuple[int, Mention]]:
        """What is mentioned, each with its place. One mention may be found several times."""
        fitting: list[tuple[int, _SoughtText]] = []
        for _, size, get in self._tree.steps:
            for at in range(len(text) - size + 1):
                if (tree := get(text[at : at + size])) is not None:
                    _follow(tree, text, at, fitting)
        fitting.sort(key=_first_and_longest)
        return [
            (at, mention)
            for at, sought in fitting
            if is_whole is None or is_whole(text, at, at + len(sought.text))
            for mention in sought.mentions
        ]


def _first_and_longest(found: tuple[int, _SoughtText]) -> tuple[int, int]:
    return found[0], -len(found[1].text)


def _follow(tree: _Tree, text: str, at: int, fitting: list[tuple[int, _SoughtText]]) -> None:
    """Add which pieces begin at this place."""
    few, steps = tree
    for sought in few:
        if text.startswith(sought.text, at):
            fitting.append((at, sought))
    for start, end, get in steps:
        if (more := get(text[at + start : at + end])) is not None:
            _follow(more, text, at, fitting)


def _grown(pieces: list[_SoughtText], depth: int) -> _Tree:
    """At the beginning all are looked up: else they would be compared at each place of a text."""
    by_end: dict[int, list[_SoughtText]] = {}
    for sought in pieces:
        by_end.setdefault(min(depth + STEP, len(sought.text)), []).append(sought)
    few, steps = list[_SoughtText](), []
    for end, alike in by_end.items():
        if depth and len(alike) <= FEW:
            few += alike
        else:
            steps.append((depth, end, _following(alike, depth, end).get))
    return _Tree(tuple(few), tuple(steps))


def _following(pieces: list[_SoughtText], depth: int, end: int) -> dict[str, _Tree]:
    by_text: dict[str, list[_SoughtText]] = {}
    for sought in pieces:
        by_text.setdefault(sought.text[depth:end], []).append(sought)
    return {text: _grown(alike, end) for text, alike in by_text.items()}


def cuts_no_word(text: str, start: int, end: int) -> bool:
    """A letter of a script with spaces must stand at the border of its word. No letter must be cut from its marks."""
    if start and _is_word(text, start) and _is_word(text, start - 1):
        return False
    if end == len(text):
        return True
    return not (_is_word(text, end) if _is_word(text, end - 1) else _is_mark(text, end))
