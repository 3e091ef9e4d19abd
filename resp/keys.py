"""What a key names: `poll:ID` is a poll, `votes` is every open poll with the option of a vote.

Before a key that is read, `linearizable:` asks for a linearizable read. It is a part of the key, because clients share
connections among their callers, and a mode of the connection would be that of others too.
"""

from __future__ import annotations

import re

from quorate.errors import Invalid
from quorate.vote import normal_form

POLL = b"poll:"
ANY_POLL = b"votes"
LINEARIZABLE = b"linearizable:"
PATTERN_BYTES_MAX = 256
KEYS = "keys are poll:ID, or votes for a vote that names no poll"


def poll_of(key: bytes) -> str | None:
    """The poll that a vote is for; None: it names none. Raises `Invalid`."""
    if key[:5] == POLL:
        return text_of(key[5:], "poll")
    if key == ANY_POLL:
        return None
    raise Invalid(f"there is no key {key[:40].decode('utf-8', 'replace')!r}; {KEYS}")


def read_key(key: bytes) -> tuple[str | None, bool]:
    """The poll that is read, and whether by a linearizable read. None: no poll can have this key."""
    linearizable = key[: len(LINEARIZABLE)] == LINEARIZABLE
    key = key.removeprefix(LINEARIZABLE)
    if key[:5] != POLL:
        return None, linearizable
    return normal_form(text_of(key[5:], "poll")), linearizable


def key_of(poll_id: str) -> bytes:
    return POLL + poll_id.encode()


def text_of(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{what} is not UTF-8") from None


def pattern_of(glob: bytes) -> re.Pattern[str]:
    """Of KEYS and SCAN: * and ? and [abc], and a backslash before what stands for itself (Redis, "KEYS").

    What follows a star is looked for once, at the first place that fits: no pattern takes longer than the square.
    """
    if len(glob) > PATTERN_BYTES_MAX:
        raise Invalid(f"the pattern has {len(glob):,} bytes; the limit is {PATTERN_BYTES_MAX:,}")
    first, *others = _between_stars(text_of(glob, "the pattern"))
    if not others:
        return re.compile(first, re.S)
    *middle, last = others
    return re.compile(first + "".join(f"(?>.*?{each})" for each in middle) + ".*" + last, re.S)


def _between_stars(glob: str) -> list[str]:
    """Patterns of `re` for what stands between the stars."""
    patterns, at = [""], 0
    while at < len(glob):
        character = glob[at]
        at += 1
        if character == "*":
            patterns.append("")
        elif character == "?":
            patterns[-1] += "."
        elif character == "[":
            one_of, at = _one_of(glob, at)
            patterns[-1] += one_of
        else:
            if character == "\\" and at < len(glob):
                character, at = glob[at], at + 1
            patterns[-1] += re.escape(character)
    return patterns


def _one_of(glob: str, at: int) -> tuple[str, int]:
    """The pattern for what stands between brackets, and where that ends. As in Redis, the end of the pattern is an end
    of it too, and a range may be the wrong way round."""
    is_not = glob[at : at + 1] == "^"
    at += is_not
    ranges = ""
    while at < len(glob) and glob[at] != "]":
        if glob[at] == "\\" and at + 1 < len(glob):
            at += 1
            first = last = glob[at]
        elif glob[at + 1 : at + 2] == "-" and at + 2 < len(glob):
            first, last = sorted((glob[at], glob[at + 2]))
            at += 2
        else:
            first = last = glob[at]
        at += 1
        ranges += f"{re.escape(first)}-{re.escape(last)}"
    if not ranges:
        return ("." if is_not else "(?!)"), at + 1
    return f"[{'^' * is_not}{ranges}]", at + 1
