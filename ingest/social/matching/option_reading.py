"""How an option is looked for, and which options of a poll cannot be told from each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from quorate.ingest.social.matching.characters import MARKS, PICTURES, UNSPACED, WORD
from quorate.ingest.social.matching.folding import fold
from quorate.ingest.social.matching.links import BREAK, without_links
from quorate.ingest.social.matching.tokens import forms_of, tokens_of
from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.words import count

SHOWN = 5

_unspaced = re.compile(f"[{UNSPACED}]")
_at_ends = re.compile(f"^[^{WORD}{UNSPACED}{PICTURES}]+|[^{WORD}{UNSPACED}{PICTURES}{MARKS}]+$")


_NOT_IN_HASHTAGS = dict.fromkeys(map(ord, "'._,"))


@dataclass(frozen=True, slots=True)
class Row:
    """An option of words, emoji and symbols: these tokens in a row, or the hashtag, if it has several."""

    tokens: tuple[str, ...]
    hashtag: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """An option that is looked for wherever its characters stand. `anywhere`: in the whole text, with its addresses,
    and inside of words. Otherwise a letter of a script with spaces must not be cut from its word."""

    text: str
    anywhere: bool = False


Look = Row | Piece


def _look_of(folded: str, match: str) -> Look | None:
    """What to look for. None: nothing of the option can be looked for."""
    if match == "substring":
        return Piece(folded, anywhere=True) if folded else None
    if not folded.isascii() and _unspaced.search(folded):
        return Piece(_at_ends.sub("", " ".join(folded.split())))
    tokens = tuple(forms_of(token)[0] for token in tokens_of(folded))
    return Row(tokens, _hashtag_of(tokens)) if tokens else None


def _hashtag_of(tokens: tuple[str, ...]) -> str:
    """`icecream` for `ice cream`. None for what one word says already, for numbers, and with symbols."""
    if len(tokens) == 1 and tokens[0].isalnum():
        return ""
    joined = "".join(tokens).translate(_NOT_IN_HASHTAGS)
    is_other = joined != tokens[0] and not joined.isdecimal()
    return joined if is_other and tokens_of(joined) == [joined] and joined[-1] not in "+#" else ""


@dataclass(slots=True)
class OptionTroubles:
    """`alike`: groups of options that are looked for in the same way. `never`: those that no text mentions.
    `addresses`: those with an address, which is left out of posts."""

    poll: str
    alike: list[list[str]] = field(default_factory=list)
    never: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def why_refused(self) -> str:
        """Empty if nothing is alike."""
        if not self.alike:
            return ""
        shown = "; ".join(" and ".join(map(repr, group)) for group in self.alike[:SHOWN])
        more = f"; and {len(self.alike) - SHOWN:,} more" if len(self.alike) > SHOWN else ""
        return f"poll {self.poll!r} has options that read alike in a post; rename or remove one of each: {shown}{more}"

    def warning(self) -> str:
        """Empty if each option can be mentioned."""
        whys = (
            (self.never, "can never be mentioned, because there is no word and no symbol in it"),
            (self.addresses, "cannot be mentioned by an address, because these are left out of posts"),
        )
        said = [f"{count(len(options), 'option')} {why}: {_some(options)}" for options, why in whys if options]
        return f"poll {self.poll!r}: {'; '.join(said)}" if said else ""


def _some(options: Sequence[str]) -> str:
    return ", ".join(map(repr, options[:SHOWN])) + (" …" if len(options) > SHOWN else "")


class PollReading(NamedTuple):
    looks: list[tuple[str, Look]]  # each option, and how it is looked for
    troubles: OptionTroubles


def read_poll(poll: StreamPoll) -> PollReading:
    looks: list[tuple[str, Look]] = []
    troubles = OptionTroubles(poll.id)
    match = poll.rules.match
    seen: dict[Look, list[str]] = {}
    for option in poll.options:
        folded = fold(option)
        look = _look_of(folded, match)
        if look is None:
            troubles.never.append(option)
            continue
        looks.append((option, look))
        seen.setdefault(_without_spaces(look), []).append(option)
        if match == "words" and BREAK in without_links(folded):
            troubles.addresses.append(option)
    troubles.alike = [group for group in seen.values() if len(group) > 1]
    return PollReading(looks, troubles)


def _without_spaces(look: Look) -> Look:
    """Where a script needs no spaces, they make no difference. `substring` compares them, too."""
    return Piece(look.text.replace(" ", "")) if isinstance(look, Piece) and not look.anywhere else look
