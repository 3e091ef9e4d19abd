"""The rules of a filtered stream as X keeps and applies them: by words, whatever their case, with OR between them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

OPERATORS = {"or", "and", "not"}
NO_REPOSTS = " -is:retweet"


class InvalidRule(Exception):
    """X says why it does not take it."""


@dataclass(slots=True)
class KeptRule:
    id: str
    value: str
    tag: str
    alternatives: list[str]
    acts_from_s: float = 0.0

    def wants(self, text: str, tags: list[str], *, is_repost: bool) -> bool:
        if is_repost and self.value.endswith(NO_REPOSTS):
            return False
        return any(wants(each, text, tags) for each in self.alternatives)


@dataclass(slots=True)
class RuleBook:
    """`refused`: what X takes for no rule, wherever it stands in one."""

    rules_max: int = 1_000
    characters_max: int = 1_024
    refused: set[str] = field(default_factory=set)
    kept: dict[str, KeptRule] = field(default_factory=dict)
    made: int = 0
    acts_after_s: float = 0.0
    clock: Callable[[], float] = time.monotonic

    def add(self, value: str, tag: str) -> KeptRule:
        """Raises `InvalidRule`, or KeyError with the id of the same rule."""
        alternatives = parsed(value, self.characters_max)
        if any(each in value for each in self.refused):
            raise InvalidRule("Ambiguous use of something")
        for rule in self.kept.values():
            if rule.value == value:
                raise KeyError(rule.id)
        self.made += 1
        rule = KeptRule(str(10**18 + self.made), value, tag, alternatives, self.clock() + self.acts_after_s)
        self.kept[rule.id] = rule
        return rule

    def wants(self, text: str, tags: list[str], *, is_repost: bool) -> list[KeptRule]:
        acting = [rule for rule in list(self.kept.values()) if rule.acts_from_s <= self.clock()]
        return [rule for rule in acting if rule.wants(text, tags, is_repost=is_repost)]


def parsed(value: str, characters_max: int) -> list[str]:
    """The alternatives of a rule or query. Raises `InvalidRule`."""
    if not value or len(value) > characters_max:
        raise InvalidRule(f"Rule must be between 1 and {characters_max} characters, and has {len(value)}")
    if value.endswith(NO_REPOSTS):
        value = value.removesuffix(NO_REPOSTS)
        if not (value.startswith("(") and value.endswith(")")):
            raise InvalidRule("-is:retweet stands beside a group")
        value = value[1:-1]
    pieces = re.split(r"\s+OR\s+", value)
    for each in pieces:
        phrase = re.fullmatch(r'"([^"]+)"', each)
        hashtag = re.fullmatch(r"#\w+", each)
        word = re.fullmatch(r"[^\W_]+", each)
        if not (phrase or hashtag or (word and each.lower() not in OPERATORS)):
            raise InvalidRule(f"no viable alternative at {each!r}")
    return pieces


def wants(alternative: str, text: str, tags: list[str]) -> bool:
    if alternative.startswith("#"):
        return alternative[1:].casefold() in {tag.casefold() for tag in tags}
    return f" {_tokens(alternative)} " in f" {_tokens(text)} "


def _tokens(text: str) -> str:
    """Its words; other characters part them, but each symbol beyond letters is a word, as emoji are."""
    return " ".join(re.findall(r"[^\W_]+|[^\w\s\x00-\x7f]", text.casefold()))
