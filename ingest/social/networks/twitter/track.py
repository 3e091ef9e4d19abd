"""From options to the `track` of a request: phrases with commas between them.

A phrase is found in every post that has all its words, in any order and case. So a phrase may be a part of an option's
words: too many posts come then, and the matcher looks at each. It must not be more than the option. An option of
several words is a hashtag, too: these phrases come last, as far as there is room.

Signs at a word of a phrase are a part of it, though those in posts are not: `sad!` is never found, and `#mood` only as
a hashtag. So words are asked for without them. (Twitter's documents: "Basic stream parameters", track.)
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.errors import ConfigError
from quorate.ingest.social.networks.defaults import TWITTER_PHRASE_BYTES, TWITTER_PHRASES
from quorate.shown import name
from quorate.words import count


@dataclass(frozen=True, slots=True)
class TrackLimits:
    """Those of Twitter's v1.1 API for most accounts."""

    phrases: int = TWITTER_PHRASES
    phrase_bytes: int = TWITTER_PHRASE_BYTES


@dataclass(frozen=True, slots=True)
class Track:
    phrases: tuple[str, ...]
    left_out: str = ""  # for people: what cannot be asked for, and why

    def __str__(self) -> str:
        return ",".join(self.phrases)

    def whole(self) -> Track:
        """Itself. Raises `ConfigError` if options are left out."""
        if self.left_out:
            raise ConfigError(self.left_out)
        return self


def track_of(texts: Sequence[str], limits: TrackLimits) -> Track:
    phrases = {text: _phrase(text, limits.phrase_bytes) for text in texts}
    different: dict[str, str] = {}
    for phrase in filter(None, phrases.values()):
        different.setdefault(phrase.casefold(), phrase)
    left_out = _left_out(phrases, len(different), limits)
    for hashtag in filter(None, (_hashtag(text, limits.phrase_bytes) for text in phrases)):
        different.setdefault(hashtag.casefold(), hashtag)
    return Track(tuple(different.values())[: limits.phrases], left_out)


def _hashtag(text: str, bytes_max: int) -> str:
    words = _words(text)
    joined = "".join(words)
    return joined if len(words) > 1 and joined.isalnum() and len(joined.encode()) <= bytes_max else ""


def _phrase(text: str, bytes_max: int) -> str:
    """As many words of it as fit, the long ones first: they are the rarest."""
    words = _words(text)
    fits: set[int] = set()
    left = bytes_max + 1  # the last word has no space after it
    for index in sorted(range(len(words)), key=lambda index: -len(words[index].encode())):
        size = len(words[index].encode()) + 1
        if size <= left:
            fits.add(index)
            left -= size
    return " ".join(words[index] for index in sorted(fits))


def _words(text: str) -> list[str]:
    """As they are written, if there is nothing but signs."""
    words = text.replace(",", " ").split()
    return [bare for word in words if (bare := _bare(word))] or words


def _bare(word: str) -> str:
    begin, end = 0, len(word)
    while begin < end and _is_sign(word[begin]):
        begin += 1
    while begin < end and _is_sign(word[end - 1]):
        end -= 1
    return word[begin:end]


def _is_sign(character: str) -> bool:
    """An emoji is none."""
    return character != "_" and (unicodedata.category(character)[0] == "P" or character in "+<=>|~^`$")


def _left_out(phrases: dict[str, str], different: int, limits: TrackLimits) -> str:
    unasked = [text for text, phrase in phrases.items() if not phrase]
    if unasked:
        return (
            f"{count(len(unasked), 'option')} of {len(phrases)} cannot be asked for, as Twitter v1.1 takes words of 1"
            f" to {limits.phrase_bytes} bytes: {', '.join(name(text) for text in unasked[:3])}"
        )
    if different > limits.phrases:
        return (
            f"there are {count(different, 'option')}, and Twitter v1.1 takes {limits.phrases} on a connection. Share"
            " them among several readers, each with its own account, or raise --track-max if the server takes more"
        )
    return ""
