"""From options to the rules of a filtered stream, and from the rules that are there to those that should be.

A rule is a list of alternatives with OR between them, so that many options share one. Each option gives one or two: its
words as a phrase, and as one hashtag. X looks at neither case nor punctuation, so all is written small: no alternative
holds an OR of its own. A post may fit a rule and mention no option; the matcher looks at each.

Rules stay as long as all their alternatives are wanted, so that a new option costs one new rule and no more. When there
would be more than twice as many rules as needed, they are packed anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from quorate.ingest.social.networks.defaults import X_RULE_CHARACTERS, X_RULES

OR = " OR "
NO_REPOSTS = " -is:retweet"
PLAIN = re.compile(r"[0-9a-z]+\Z")
TAG = re.compile(r"\w*[^\W\d_]\w*\Z")  # a hashtag needs a letter
OPERATORS = {"or", "and", "not"}
LOOSE = 10  # so many rules more than twice the needed ones are let be


@dataclass(frozen=True, slots=True)
class RuleLimits:
    """Those of X's pay-per-use accounts."""

    rules: int = X_RULES
    characters: int = X_RULE_CHARACTERS


@dataclass(frozen=True, slots=True)
class StreamRule:
    """As X has it."""

    id: str
    value: str
    tag: str = ""


@dataclass(frozen=True, slots=True)
class RulePlan:
    """`add` comes before `delete`, so that no post is missed; `delete_first` only makes room where there is none.

    `has_gap`: rules that are still wanted have to go before their successors can come. `left_out`: alternatives for
    which there is no room.
    """

    add: list[str] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    delete_first: list[str] = field(default_factory=list)
    has_gap: bool = False
    left_out: list[str] = field(default_factory=list)


def alternatives_of(texts: Iterable[str]) -> list[str]:
    """Each once, in the order of the options."""
    return list(dict.fromkeys(each for text in texts for each in _alternatives(text)))


def _alternatives(text: str) -> list[str]:
    words = re.sub(r'["\\]', " ", text.lower()).split()
    bare = [word.lstrip("#") for word in words]
    joined = "".join(bare)
    phrase = " ".join(filter(None, bare))
    if not phrase:
        return []
    found = [phrase if PLAIN.match(phrase) and phrase not in OPERATORS else f'"{phrase}"']
    return [*found, f"#{joined}"] if TAG.match(joined) else found


def packed(alternatives: Sequence[str], characters: int, *, suffix: str = "") -> list[str]:
    """As few rules as filling one after the other gives. What is too long for a rule is left out."""
    most = characters - _size(_rule([""], suffix))
    rules: list[str] = []
    now: list[str] = []
    size = 0
    for each in alternatives:
        if _size(each) > most:
            continue
        if now and size + _size(OR) + _size(each) > most:
            rules.append(_rule(now, suffix))
            now, size = [], 0
        size += _size(each) + (_size(OR) if now else 0)
        now.append(each)
    return [*rules, _rule(now, suffix)] if now else rules


def too_long(alternatives: Iterable[str], characters: int, *, suffix: str = "") -> list[str]:
    most = characters - _size(_rule([""], suffix))
    return [each for each in alternatives if _size(each) > most]


def inside(value: str, suffix: str) -> list[str]:
    """The alternatives of a rule; none, if it is not of this form."""
    if suffix:
        if not (value.startswith("(") and value.endswith(f"){suffix}")):
            return []
        return value[1 : -len(suffix) - 1].split(OR)
    return [] if value.startswith("(") else value.split(OR)


def plan(
    ours: Sequence[StreamRule], alternatives: Sequence[str], room: int, characters: int, *, suffix: str = ""
) -> RulePlan:
    """`room`: how many rules the account has for us. Foreign rules are not in `ours`."""
    fresh = packed(alternatives, characters, suffix=suffix)
    kept = _kept(ours, set(alternatives), suffix)
    covered = {each for rule in kept for each in inside(rule.value, suffix)}
    add = packed([each for each in alternatives if each not in covered], characters, suffix=suffix)
    if len(kept) + len(add) > min(room, 2 * len(fresh) + LOOSE):
        kept = _once([rule for rule in ours if rule.value in set(fresh)])
        add = [value for value in fresh if value not in {rule.value for rule in kept}]
    fits = max(0, room - len(kept))
    left_out = [each for value in add[fits:] for each in inside(value, suffix)]
    left_out += too_long(alternatives, characters, suffix=suffix)
    obsolete = [rule for rule in ours if rule not in kept]
    return _ordered(add[:fits], obsolete, room - len(ours), set(alternatives), suffix, left_out)


def _ordered(
    add: list[str],
    obsolete: list[StreamRule],
    spare: int,
    wanted: Collection[str],
    suffix: str,
    left_out: list[str],
) -> RulePlan:
    lacking = max(0, len(add) - spare)
    useless_first = sorted(obsolete, key=lambda rule: sum(each in wanted for each in inside(rule.value, suffix)))
    first, after = useless_first[:lacking], useless_first[lacking:]
    has_gap = any(each in wanted for rule in first for each in inside(rule.value, suffix))
    return RulePlan(add, [rule.id for rule in after], [rule.id for rule in first], has_gap, left_out)


def _kept(ours: Sequence[StreamRule], wanted: Collection[str], suffix: str) -> list[StreamRule]:
    """Those of which everything is wanted, and not everything is in another one."""
    kept, covered = [], set[str]()
    for rule in sorted(ours, key=lambda rule: -len(rule.value)):
        found = inside(rule.value, suffix)
        if found and all(each in wanted for each in found) and not covered.issuperset(found):
            kept.append(rule)
            covered.update(found)
    return kept


def _once(rules: Sequence[StreamRule]) -> list[StreamRule]:
    return list({rule.value: rule for rule in rules}.values())


def _rule(alternatives: Sequence[str], suffix: str) -> str:
    joined = OR.join(alternatives)
    return f"({joined}){suffix}" if suffix else joined


def _size(text: str) -> int:
    """In UTF-16, as characters beyond its plane may count twice."""
    return len(text) + sum(character > "\uffff" for character in text)
