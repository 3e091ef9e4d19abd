"""How text that others wrote is shown to people: in logs, and on terminals.

Names, addresses, paths and answers come from clients, peers, Consul, queues and databases. Shown as they are, a line
break in them begins a line that we never wrote, an escape sequence acts on the terminal, and a sign of direction (bidi)
has a line read otherwise than it is. So these characters are shown as escapes, long text is cut, and what stands before
the @ of a URL is masked. Whatever is written in a log goes through `line`, whatever a command prints through `lines`.

The characters are a list and no question to Unicode's tables, because these differ between versions of Python. U+200C
and U+200D are not in it: Persian, Indian languages and emoji need them. Tags are let be in flags alone.
"""

from __future__ import annotations

import re

LINE_MAX = 4_000
LINES_MAX = 64_000
NAME_MAX = 200
MASK = "***"

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_FORMATS = (
    r"\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e007f"
)
_FLAG = "\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f"  # of a country within a country, as of Scotland
_HIDDEN = re.compile(rf"{_FLAG}|([{_FORMATS}])")
_UNSAFE = re.compile(rf"{_FLAG}|([{_CONTROLS}{_FORMATS}\ud800-\udfff])")
# What stands before the @ may hold anything but blanks, quotes and, in the name, a slash. The bounds keep it linear.
_USERINFO = re.compile(r"""(?<=://)[^\s@/:"']{0,512}(?::[^\s@"']{0,512})?@(?:[^\s@/"']{0,512}@){0,8}""")


def line(text: str, most: int = LINE_MAX) -> str:
    """The text in one line of at most about `most` characters, none of which acts on a terminal."""
    return _escaped(_cut(without_userinfo(text[: 2 * most]), most, len(text)))


def lines(text: str, most: int = LINES_MAX) -> str:
    """The same for a text of several lines: line breaks stay, and tabs."""
    if text.isascii() and text.replace("\n", "").isprintable() and "://" not in text and len(text) <= most:
        return text
    cut = _cut(without_userinfo(text[: 2 * most]), most, len(text))
    return "\n".join("\t".join(map(_escaped, each.split("\t"))) for each in cut.split("\n"))


def name(text: str) -> str:
    """A name, an address or the like that others gave, within a sentence."""
    return line(text, NAME_MAX)


def json_text(text: str) -> str:
    """The same JSON, with characters escaped that JSON lets be and a terminal obeys."""
    return text if text.isascii() and "\x7f" not in text else _UNSAFE.sub(_json_escape, text)


def without_userinfo(text: str) -> str:
    """The text with user names and passwords in its URLs masked."""
    return _USERINFO.sub(f"{MASK}@", text) if "://" in text and "@" in text else text


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


def _cut(text: str, most: int, length: int) -> str:
    return text if length <= most else f"{text[:most]}… ({length:,} characters)"


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
