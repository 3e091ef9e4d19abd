"""A request as handlers get it from both doors, and the parameters of its query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from quorate.errors import Invalid, UnsupportedMedia
from quorate.security.caller import Caller
from quorate.vote import normal_form
from quorate.words import count

DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m)?", re.ASCII)
UNITS_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0}


@dataclass(slots=True)
class Request:
    """What handlers need of a request. Each door fills it in."""

    path: str
    caller: Caller
    query: str = ""
    body: bytes = b""
    content_type: str = ""
    idempotency_key: str | None = None
    producer: str | None = None
    last_event_id: str | None = None
    accept: str = ""


def check_coding(coding: str) -> None:
    """Refuse a body that is compressed, by Content-Encoding or Transfer-Encoding. It would read as malformed JSON."""
    if coding.strip().lower() not in ("", "identity", "chunked"):
        raise UnsupportedMedia(
            f"the body is encoded as {coding[:100]!r}; send it as it is, without compression",
            accept_encoding="identity",
        )


def read_query(query: str, allowed: frozenset[str]) -> dict[str, list[str]]:
    """The parameters of the query. An unknown parameter is an error: a misspelt `level` must not weaken a read."""
    parameters: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError as error:
        raise Invalid(f"the query cannot be read: {error}") from None
    for name, value in pairs:
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise Invalid(f"there is no query parameter {name!r} here; known: {known}")
        parameters.setdefault(name, []).append(normal_form(value))
    return parameters


def once(parameters: dict[str, list[str]], name: str, default: str) -> str:
    values = parameters.get(name)
    if values is None:
        return default
    if len(values) > 1:
        raise Invalid(f"the query gives {name} {count(len(values), 'time')}; give it once")
    return values[0]


def read_version(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise Invalid(f"{what} is {text[:40]!r}; give a whole number, 0 or more")
    return int(text)


def read_duration(text: str, what: str, max_s: float) -> float:
    """Seconds from "2s", "500ms", "1m" or "2"."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise Invalid(f"{what} is {text[:40]!r}; give a duration such as 2s or 500ms")
    seconds = float(match[1]) * UNITS_S[match[2]]
    if seconds > max_s:
        raise Invalid(f"{what} is {text}; the limit is {max_s:g}s")
    return seconds
