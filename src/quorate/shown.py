"""How text that others wrote is shown to people: in logs, and on terminals.

Names, addresses, paths and answers come from clients, peers, Consul, queues and databases. Shown as they are, a line
break in them begins a line that we never wrote, an escape sequence acts on the terminal, and a sign of direction (bidi)
has a line read otherwise than it is. So these characters are shown as escapes, long text is cut, and what stands before
the @ of a URL is masked. Whatever is written in a log goes through `line`, whatever a command prints through `lines`.

The characters are a list and no question to Unicode's tables, because these differ between versions of Python. They
are those that Unicode has shown as nothing (Default_Ignorable_Code_Point), and U+2800, which is blank. U+200C, U+200D
and the selectors of variants are not in it: Persian, Mongolian, Indian and Chinese texts and emoji need them. Tags are
let be in flags alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LINE_MAX = 4_000
LINES_MAX = 64_000
NAME_MAX = 200
MASK = "***"

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_FORMATS = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff"
    r"\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_FLAG = "\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f"  # of a country within a country, as of Scotland
_HIDDEN = re.compile(rf"{_FLAG}|([{_FORMATS}])")
_UNSAFE = re.compile(rf"{_FLAG}|([{_CONTROLS}{_FORMATS}\ud800-\udfff])")
_WORD = re.compile(r"""[^\s"']+""")
_USER_END, _MORE = re.compile(r"[@/:]"), re.compile(r"[^@/]*@")


def line(text: str, most: int = LINE_MAX) -> str:
    """The text in one line of at most about `most` characters, none of which acts on a terminal."""
    return _bounded(text, most, _escaped)


def lines(text: str, most: int = LINES_MAX) -> str:
    """The same for a text of several lines: line breaks stay, and tabs."""
    if text.isascii() and text.replace("\n", "").isprintable() and "://" not in text and len(text) <= most:
        return text
    return _bounded(text, most, _escaped_but_breaks)


def whole_line(text: str) -> str:
    """The text in one line, however long it is."""
    return _escaped(without_userinfo(text))


def name(text: str) -> str:
    """A name, an address or the like that others gave, within a sentence."""
    return line(text, NAME_MAX)


def json_text(text: str) -> str:
    """The same JSON, with characters escaped that JSON lets be and a terminal obeys."""
    return text if text.isascii() and "\x7f" not in text else _UNSAFE.sub(_json_escape, text)


def without_userinfo(text: str) -> str:
    """The text with user names and passwords in its URLs masked. Its time grows with the text's length and no more."""
    return _WORD.sub(lambda found: _masked(found[0]), text) if "://" in text and "@" in text else text


def _masked(word: str) -> str:
    parts, at, last = [], 0, word.rfind("@")
    while (found := word.find("://", at)) >= 0 and (start := found + 3) <= last:
        end = _end_of_userinfo(word, start)
        parts.append(word[at:start] + (f"{MASK}@" if end else ""))
        at = end or start
    return "".join(parts) + word[at:]


def _end_of_userinfo(word: str, start: int) -> int | None:
    """Where it ends, behind an @ that is there; None if a host begins at `start`. Names of users have no slash."""
    found = _USER_END.search(word, start)
    if found is None or found[0] == "/":
        return None
    end = word.index("@", found.start()) + 1
    while more := _MORE.match(word, end):  # a password may have an @, too
        end = more.end()
    return end


def without_password(address: str) -> str:
    """One address or URL, with all before its last @ masked, whether it has a scheme or not."""
    before, at, host = address.rpartition("@")
    scheme = before.partition("://")[0] + "://" if "://" in before else ""
    return f"{scheme}{MASK}@{host}" if at else address


def hidden_character(text: str) -> str | None:
    """The first character of the text that nobody sees and that makes it look like another text; None if none does.

    Control characters are not looked for. The state machine asks this, so the answer never changes at a feature level.
    """
    if text.isascii():
        return None
    return next((found[1] for found in _HIDDEN.finditer(text) if found[1]), None)


def _bounded(text: str, most: int, escape: Callable[[str], str]) -> str:
    """Escapes are longer than what they stand for, so the text is cut before them and after them."""
    masked = without_userinfo(text)
    shown = escape(masked[:most])
    if len(masked) <= most and len(shown) <= most:
        return shown
    return f"{shown[:most]}… ({len(text):,} characters)"


def _escaped_but_breaks(text: str) -> str:
    return "\n".join("\t".join(map(_escaped, each.split("\t"))) for each in text.split("\n"))


def _escaped(text: str) -> str:
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0] if found[1] is None else found[1].encode("unicode_escape").decode()


def _json_escape(found: re.Match[str]) -> str:
    character = found[1]
    if character is None or character < " ":  # JSON's own line breaks, between its parts
        return found[0]
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
