"""Which options can be planted in a text, and how they are spelt, so that nobody can be in doubt what it mentions.

An option that contains another one, or that looks like an address, is not planted. A phrase or a decoy that might be
taken for an option is doubtful. Both rather too often than too seldom.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from quorate.ingest.social.options.stream_poll import StreamPoll

_word = re.compile(r"[^\W_]+")
ROW_MAX = 12  # an option of more words is not looked through for others

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spelling:
    """What stands in the text, or instead the hashtag that the network lists beside it."""

    text: str
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Plant:
    """The options of all polls that read alike, and the ways to spell them. `name`: for decoys; "" if it makes none."""

    mentions: tuple[tuple[StreamPoll, str], ...]
    spellings: tuple[Spelling, ...]
    name: str


class Garden:
    """The options of all polls as they can be planted, in the order of the polls. `left_out`: those that cannot."""

    def __init__(self, polls: Sequence[StreamPoll]) -> None:
        alike: dict[str, list[tuple[StreamPoll, str]]] = {}
        for poll in polls:
            for option in poll.options:
                alike.setdefault(_key(option), []).append((poll, option))
        self._words = {word for key in alike for word in _words(key)}
        self._foreign_parts = [part for key in alike if not key.isascii() for part in key.split()]
        clear = {key for key in _clear(alike) if all(_is_plain(option) for _, option in alike[key])}
        self.plants = [_plant(tuple(alike[key])) for key in alike if key in clear]
        self.left_out = [option for key, found in alike.items() if key not in clear for _, option in found]

    def is_doubtful(self, text: str) -> bool:
        """Whether it, or a part of it, might be taken for an option or a part of one."""
        folded = _fold(text)
        if not self._words.isdisjoint(_words(folded)):
            return True
        together = "".join(folded.split())
        return any(part in together for part in self._foreign_parts)


def _fold(text: str) -> str:
    """❤️ and ❤ are one, too: nobody sees the selector that makes it red."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).replace("\ufe0f", "")


def _words(folded: str) -> Words:
    return tuple(_word.findall(folded))


def _key(option: str) -> str:
    """The same for options that read alike: `Ice cream` and `ice-cream`."""
    folded = _fold(option)
    return " ".join(_words(folded)) or folded.strip()


def _clear(keys: Collection[str]) -> set[str]:
    """Those that contain no other one, in whatever spelling."""
    rows = {tuple(key.split()) for key in keys}
    together: dict[str, int] = {}
    for key in keys:
        joined = key.replace(" ", "")
        together[joined] = together.get(joined, 0) + 1
    return {key for key in keys if together[key.replace(" ", "")] == 1 and not _contains(key, rows, together)}


def _contains(key: str, rows: Collection[Words], together: Collection[str]) -> bool:
    row = tuple(key.split())
    if len(row) > ROW_MAX or any(part in rows for part in _parts(row)):
        return True
    joined = "".join(row)
    return not joined.isascii() and any(part in together for part in _parts(joined))


def _parts(whole: Words | str) -> Iterator[Words | str]:
    """All but the whole."""
    size = len(whole)
    return (whole[at:end] for at in range(size) for end in range(at + 1, size + 1) if end - at < size)


def _is_plain(option: str) -> bool:
    """Of words, with spaces, hyphens and apostrophes between them; or of pictures alone."""
    if option != option.strip() or not option:
        return False
    kinds = {unicodedata.category(each) for each in option if each not in " -'"}
    if any(kind[0] in "LN" for kind in kinds):
        return all(kind[0] in "LMN" for kind in kinds) and "--" not in option
    return "So" in kinds and kinds <= {"So", "Sk", "Mn", "Cf"} and " " not in option


def _plant(mentions: tuple[tuple[StreamPoll, str], ...]) -> Plant:
    option = mentions[0][1]
    spellings = [Spelling(option)]
    if not _words(option):  # pictures
        return Plant(mentions, tuple(spellings), "")
    spellings += [Spelling(f"{option}{mark}") for mark in ("!", "?", ",")]
    if not option.isascii():
        return Plant(mentions, tuple(spellings), "")
    spellings += [Spelling(text) for text in (option.upper(), option.lower(), option.capitalize(), f"({option})")]
    if "'" in option:
        return Plant(mentions, tuple(spellings), "")
    words = _words(option)
    joined = "".join(word.capitalize() for word in words)
    if len(words) > 1:
        spellings.append(Spelling("-".join(words)))
    if not joined.isdecimal():
        spellings += [Spelling(f"#{joined}"), Spelling(f"#{joined.lower()}"), Spelling("", tag=joined)]
    return Plant(mentions, tuple(spellings), joined.lower() if joined.isalpha() else "")
