"""A folded text as a row of tokens: words, hashtags, emoji and other symbols. Punctuation and spaces only part them.

Where a word begins and ends follows Unicode's rules (UAX #29), as far as they matter here: an apostrophe or a point
between letters is inside of a word (`jerry's`, `node.js`), a hyphen is not. Beyond these, `c++` and `c#` are words, and
a minus before a number is a token. So is a run of a script without spaces; no option is looked for in it here.
"""

from __future__ import annotations

import re

from quorate.ingest.social.matching.characters import (
    FLAG_LETTERS,
    FLAG_TAGS,
    JOINER,
    PICTURES,
    SKIN_TONES,
    SYMBOLS,
    UNSPACED,
    WORD,
)
from quorate.ingest.social.matching.links import BREAK

_ASCII_WORD = "a-z0-9_"
_ASCII_SYMBOLS = "\\$++|\\+++|<++|=++|>++|\\|++|~++"
_EMOJI = (
    f"[{FLAG_LETTERS}]{{2}}"
    f"|[{PICTURES}][{SKIN_TONES}]?[{FLAG_TAGS}]*+(?:{JOINER}[{PICTURES}][{SKIN_TONES}]?)*+"
    f"|[{SKIN_TONES}]"
)


def _tokens(word: str) -> str:
    inside = f"(?:['.·״][{word}]++|,[0-9]{{3}}(?![{word}]))*+"
    tag = f"#[{word}]++(?:'[{word}]++)?+"
    sign = f"(?:(?:\\+\\+?|#)(?![{word}+#]))?"
    return f"(?:[{word}]++{inside}|{tag}){sign}|(?<![{word}])-(?=[0-9])|{_ASCII_SYMBOLS}|{BREAK}"


_in_ascii = re.compile(_tokens(_ASCII_WORD))
_in_any = re.compile(f"(?![\\s,.!?;:])(?:{_tokens(WORD)}|[{UNSPACED}]++|{_EMOJI}|[{SYMBOLS}])")
_tone = re.compile(f"[{SKIN_TONES}]")


def tokens_of(folded: str) -> list[str]:
    return (_in_ascii if folded.isascii() else _in_any).findall(folded)


def places_of(folded: str) -> list[int]:
    """Where each of the tokens begins."""
    return [found.start() for found in (_in_ascii if folded.isascii() else _in_any).finditer(folded)]


def forms_of(token: str) -> tuple[str, ...]:
    """The token as it stands, without the `#` of a hashtag, and then the shorter one that it mentions, too: `jerry` of
    `jerry's`, `amour` of `l'amour`, `c` of `c++`, an emoji without its tone of skin."""
    if token.isalnum():
        return (token,)
    token = token.removeprefix("#") or token
    if token[-1] in "+#" and (stem := token.rstrip("+#")):
        return (token, stem)
    left, apostrophe, right = token.partition("'")
    if apostrophe and right == "s":
        return (token, left)
    if apostrophe and (len(left) == 1 or left == "qu") and len(right) > 2:
        return (token, right)
    if (stem := _tone.sub("", token)) and stem != token:
        return (token, stem)
    return (token,)


def tag_in(token: str) -> str:
    """The hashtag, as one writes several words in it: `#ice_cream` is `icecream`. Empty: it is none."""
    return token[1:].partition("'")[0].replace("_", "") if token[:1] == "#" else ""
