"""Rules of a filtered stream: from options, and from those that are there."""

from __future__ import annotations

import random

import pytest

from quorate.ingest.social.networks.x.rules import (
    NO_REPOSTS,
    RulePlan,
    StreamRule,
    alternatives_of,
    packed,
    plan,
)


@pytest.mark.parametrize(
    ("text", "alternatives"),
    [
        ("Happy", ["happy", "#happy"]),
        ("#Mood", ["mood", "#mood"]),
        ("ice cream", ['"ice cream"', "#icecream"]),
        ("OR", ['"or"', "#or"]),
        ("yes OR no", ['"yes or no"', "#yesorno"]),
        ('say "hi" \\', ['"say hi"', "#sayhi"]),
        ("lang:en", ['"lang:en"']),
        ("-sad", ['"-sad"']),
        ("(a", ['"(a"']),
        ("2024", ["2024"]),
        ("日本", ['"日本"', "#日本"]),
        ("🎉", ['"🎉"']),
        ("Ärger", ['"ärger"', "#ärger"]),
        ('"', []),
        ("#", []),
    ],
)
def test_alternatives(text: str, alternatives: list[str]) -> None:
    assert alternatives == alternatives_of([text])


def test_options_share_rules() -> None:
    assert ["a OR #a OR b OR #b"] == packed(alternatives_of(["a", "B", "b"]), 1024)
    assert ["a OR bb", "ccc"] == packed(["a", "bb", "ccc"], 8)
    assert [f"(a OR bb){NO_REPOSTS}"] == packed(["a", "bb"], 21, suffix=NO_REPOSTS)
    assert [f"(a){NO_REPOSTS}", f"(bb){NO_REPOSTS}"] == packed(["a", "bb"], 20, suffix=NO_REPOSTS)
    assert [] == packed([], 1024)
    assert ['"🎉"'] == packed(['"🎉"'], 4)
    assert [] == packed(['"🎉"'], 3)


def rules(*values: str) -> list[StreamRule]:
    return [StreamRule(str(number), value) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("there", "wanted", "expected"),
    [
        ([], ["a", "b"], RulePlan(add=["a OR b"])),
        (["a OR b"], ["a", "b"], RulePlan()),
        (["a OR b"], ["a", "b", "c"], RulePlan(add=["c"])),
        (["a OR b", "c"], ["a", "c"], RulePlan(add=["a"], delete=["0"])),
        (["a OR b"], [], RulePlan(delete=["0"])),
        (["a", "a OR b", "b"], ["a", "b"], RulePlan(delete=["0", "2"])),
        (["a b", "(x) y"], ["a"], RulePlan(add=["a"], delete=["0", "1"])),
    ],
)
def test_plans(there: list[str], wanted: list[str], expected: RulePlan) -> None:
    assert expected == plan(rules(*there), wanted, 10, 1024)


def test_many_little_rules_are_packed_anew() -> None:
    letters = [f"x{number}" for number in range(40)]
    made = plan(rules(*letters), letters, 1000, 1024)
    assert ([" OR ".join(letters)], 40) == (made.add, len(made.delete))


def test_without_room_useless_rules_go_first_and_a_gap_is_told() -> None:
    assert RulePlan(add=["b"], delete_first=["0"]) == plan(rules("a"), ["b"], 1, 1024)
    made = plan(rules("a OR c", "z"), ["a", "b"], 2, 6)
    assert (["a OR b"], ["1"], ["0"], False) == (made.add, made.delete_first, made.delete, made.has_gap)
    made = plan(rules("a OR c"), ["a", "b"], 1, 6)
    assert (["a OR b"], ["0"], True) == (made.add, made.delete_first, made.has_gap)


def test_what_has_no_room_is_told() -> None:
    assert ["c"] == plan([], ["a", "b", "c"], 2, 1).left_out
    assert ["long"] == plan([], ["a", "long"], 2, 3).left_out
    assert ["a"] == plan([], ["a"], 0, 3).left_out


@pytest.mark.parametrize("seed", range(30))
def test_whatever_changes_all_that_is_wanted_is_asked_for_within_the_limits(seed: int) -> None:
    """And at each moment no rule goes whose alternatives are not in others, unless that is told."""
    rng = random.Random(seed)
    room, characters, suffix = rng.randrange(3, 12), rng.randrange(20, 60), rng.choice(["", NO_REPOSTS])
    there: dict[str, str] = {}
    next_id = 0
    for _ in range(60):
        texts = rng.sample([f"option{n}" for n in range(60)], rng.randrange(1, room + 1))
        wanted = alternatives_of(texts)
        made = plan([StreamRule(id, value) for id, value in there.items()], wanted, room, characters, suffix=suffix)
        before = covered(there, suffix)
        for id in made.delete_first:
            del there[id]
        lost = (before & set(wanted)) - covered(there, suffix)
        assert bool(lost) <= made.has_gap
        for value in made.add:
            next_id += 1
            there[str(next_id)] = value
            assert len(there) <= room
            assert len(value) <= characters
        for id in made.delete:
            del there[id]
        assert covered(there, suffix) == set(wanted) - set(made.left_out)
        assert len(there) <= room


def covered(there: dict[str, str], suffix: str) -> set[str]:
    return {each for value in there.values() for each in value.removesuffix(suffix).strip("()").split(" OR ")}
