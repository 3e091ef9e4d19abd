"""Finds pieces of text in a text, wherever they stand, in one pass.

The first characters of a piece, three if it has as many, are looked up at each place of the text. Where many pieces
begin alike, a tree of the next characters follows; where few are left, they are compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from quorate.ingest.social.matching.characters import MARKS, WORD
from quorate.ingest.social.matching.mention import Mention

HEAD = 3
FEW = 4

_is_word = re.compile(f"[{WORD}]").match
_is_mark = re.compile(f"[{MARKS}]").match


@dataclass(slots=True)
class _SoughtText:
    text: str
    mentions: list[Mention] = field(default_factory=list)


@dataclass(slots=True)
class _Fork:
    """`ended`: what is complete at this depth. `following`: by the character there."""

    depth: int
    ended: _SoughtText | None
    following: dict[str, _Fork | Sequence[_SoughtText]]


class PieceIndex:
    def __init__(self) -> None:
        self._sought: dict[str, _SoughtText] = {}
        self._heads: dict[int, dict[str, _Fork | Sequence[_SoughtText]]] = {}

    def __bool__(self) -> bool:
        return bool(self._sought)

    def add(self, text: str, mention: Mention) -> None:
        self._sought.setdefault(text, _SoughtText(text)).mentions.append(mention)

    def close(self) -> None:
        """All pieces are there: make the tree."""
        heads: dict[int, dict[str, list[_SoughtText]]] = {}
        for sought in self._sought.values():
            size = min(HEAD, len(sought.text))
            heads.setdefault(size, {}).setdefault(sought.text[:size], []).append(sought)
        self._heads = {
            size: {head: _grown(pieces, size) for head, pieces in by_head.items()} for size, by_head in heads.items()
        }

    def find(self, text: str, is_whole: Callable[[str, int, int], bool] | None = None) -> list[tuple[int, Mention]]:
        """What is mentioned, each with its place. One mention may be found several times."""
        fitting: list[tuple[int, _SoughtText]] = []
        for size, heads in self._heads.items():
            get = heads.get
            for at in range(len(text) - size + 1):
                if (tree := get(text[at : at + size])) is not None:
                    while isinstance(tree, _Fork):
                        if tree.ended is not None:
                            fitting.append((at, tree.ended))
                        tree = tree.following.get(text[at + tree.depth : at + tree.depth + 1], ())
                    for sought in tree:
                        if text.startswith(sought.text, at):
                            fitting.append((at, sought))
        fitting.sort(key=_first_and_longest)
        return [
            (at, mention)
            for at, sought in fitting
            if is_whole is None or is_whole(text, at, at + len(sought.text))
            for mention in sought.mentions
        ]


def _first_and_longest(found: tuple[int, _SoughtText]) -> tuple[int, int]:
    return found[0], -len(found[1].text)


def _grown(pieces: list[_SoughtText], depth: int) -> _Fork | Sequence[_SoughtText]:
    if len(pieces) <= FEW:
        return tuple(pieces)
    ended: _SoughtText | None = None
    longer: dict[str, list[_SoughtText]] = {}
    for sought in pieces:
        if len(sought.text) == depth:
            ended = sought  # each text is there once
        else:
            longer.setdefault(sought.text[depth], []).append(sought)
    return _Fork(depth, ended, {char: _grown(rest, depth + 1) for char, rest in longer.items()})


def cuts_no_word(text: str, start: int, end: int) -> bool:
    """A letter of a script with spaces must stand at the border of its word. No letter must be cut from its marks."""
    if start and _is_word(text, start) and _is_word(text, start - 1):
        return False
    if end == len(text):
        return True
    return not (_is_word(text, end) if _is_word(text, end - 1) else _is_mark(text, end))
