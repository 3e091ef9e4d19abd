"""Choices are remembered with their fingerprints, as long as somebody makes them."""

from __future__ import annotations

from unittest.mock import patch

from quorate.cluster import entry
from quorate.cluster.submit.choices import RememberedChoices

SIZE = 10
HAPPY = ("happy", None, 1)


def test_a_choice_has_the_fingerprint_of_its_three_parts() -> None:
    choice = RememberedChoices(SIZE).of(("happy", "mood", 3))
    assert entry.Choice("happy", "mood", 3, entry.fingerprint_of("happy", "mood", 3)) == choice


def test_choices_that_nobody_makes_again_push_out_none_that_others_make() -> None:
    remembered = RememberedChoices(SIZE)
    remembered.of(HAPPY)
    for flood in range(5):
        for number in range(SIZE):
            remembered.of((f"strange {flood} {number}", None, 1))
        with patch.object(entry, "fingerprint_of", side_effect=AssertionError("it was forgotten")):
            remembered.of(HAPPY)


def test_no_more_are_remembered_than_two_generations() -> None:
    remembered = RememberedChoices(SIZE)
    for number in range(10 * SIZE):
        remembered.of((f"strange {number}", None, 1))
        assert 2 * SIZE >= len(remembered._newer) + len(remembered._older)
