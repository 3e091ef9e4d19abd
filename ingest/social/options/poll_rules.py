"""How people say by which rules posts vote in a poll: `mood: substring, one-per-author, no-reposts`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from quorate.errors import ConfigError
from quorate.ingest.social.options.stream_poll import Rules
from quorate.vote import normal_form

RULES: dict[str, dict[str, Any]] = {
    "words": {"match": "words"},
    "substring": {"match": "substring"},
    "one-per-post": {"one_per": "post"},
    "one-per-author": {"one_per": "author"},
    "reposts": {"reposts": True},
    "no-reposts": {"reposts": False},
}
FIELDS: dict[str, tuple[object, ...]] = {
    "match": ("words", "substring"),
    "one_per": ("post", "author"),
    "reposts": (True, False),
}


def read_rules(texts: Iterable[str]) -> dict[str, Rules]:
    """By the polls' ids. Raises `ConfigError`, in words."""
    found: dict[str, Rules] = {}
    for text in _whole(texts):
        id, colon, words = text.rpartition(":")
        id = normal_form(id.strip())
        if not colon or not id:
            raise ConfigError(f"rules {text!r} name no poll; give them as 'mood: {', '.join(RULES)}' (some of these)")
        if id in found:
            raise ConfigError(f"the rules of poll {id!r} are given twice; give them once")
        found[id] = _rules(id, words)
    return found


def _whole(texts: Iterable[str]) -> Iterator[str]:
    """In an environment variable, commas part the rules of polls, and the words of one as well."""
    held = ""
    for text in texts:
        if held and all(word in RULES for word in _words(text)):
            held += f",{text}"
        else:
            if held:
                yield held
            held = text
    if held:
        yield held


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def _rules(id: str, text: str) -> Rules:
    rules, said = Rules(), dict[str, str]()
    for word in _words(text):
        if word not in RULES:
            raise ConfigError(f"rules of poll {id!r}: {word!r} is none; known: {', '.join(RULES)}")
        ((field, _),) = RULES[word].items()
        if said.setdefault(field, word) != word:
            raise ConfigError(f"rules of poll {id!r}: {said[field]} and {word} contradict each other")
        rules = replace(rules, **RULES[word])
    if not said:
        raise ConfigError(f"poll {id!r} is given no rule; known: {', '.join(RULES)}")
    return rules


def rules_in_document(stored: object) -> Rules:
    """Of the field `stream` of a document. Raises `ConfigError`, in words."""
    if stored is None:
        return Rules()
    if not isinstance(stored, dict):
        raise ConfigError('stream is no object; give {match: "substring", one_per: "author", reposts: false}, or some')
    for field, value in stored.items():
        if field not in FIELDS:
            raise ConfigError(f"stream has {str(field)[:40]!r}, which is none of {', '.join(FIELDS)}")
        if not any(value is known or (isinstance(value, str) and value == known) for known in FIELDS[field]):
            known = " or ".join(str(each).lower() for each in FIELDS[field])
            raise ConfigError(f"stream.{field} is {str(value)[:40]!r}; give {known}")
    return Rules(**stored)
