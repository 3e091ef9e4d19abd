"""Commands that are typed as a line, and what speaks HTTP to this port instead."""

from __future__ import annotations

import re

# What a web page can make a browser send to this port begins like one of these, and must not reach any command.
HTTP = re.compile(rb"(?i)host:|post(\s|\Z)|\S+\s.*[ \t]http/\d")
LONG_HTTP = re.compile(rb"(?i)(get|head|put|delete|connect|options|trace|patch|post)\s|host:")
QUOTE = re.compile(rb"[\"']")
# A word as Redis reads it (sdssplitargs): something plain, or between quotes, or both, and the word ends there.
WORD = re.compile(rb"""([^\s"']*+)(?:"((?:\\.|[^"\\])*+)"|'((?:\\'|[^'])*+)')?(?:\s+|\Z)""", re.S)
ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.S)
NAMED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


class ProtocolError(Exception):
    """What came is no command, and nothing that follows it can be understood. Its text is for the client."""


class HttpSpoken(Exception):
    """Somebody speaks HTTP to this port. Nothing is answered."""


def check_long(line: bytes) -> None:
    """Raise what is wrong with the beginning of a line that is too long."""
    if LONG_HTTP.match(line):
        raise HttpSpoken
    raise ProtocolError("too big inline request")


def words_of(line: bytes) -> list[bytes]:
    """The words of a line. Words with spaces stand between quotes."""
    line = line.strip()
    if HTTP.match(line):
        raise HttpSpoken
    if not QUOTE.search(line):
        return line.split()
    words, at = [], 0
    while at < len(line):
        found = WORD.match(line, at)
        if found is None:
            raise ProtocolError("unbalanced quotes in request")
        plain, double, single = found.groups()
        words.append(plain + ESCAPE.sub(_meant, double or b"") + (single or b"").replace(b"\\'", b"'"))
        at = found.end()
    return words


def _meant(escape: re.Match[bytes]) -> bytes:
    code, character = escape.groups()
    return bytes.fromhex(code.decode()) if code else NAMED.get(character, character)
