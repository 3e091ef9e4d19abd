"""A bug is planted in the product's own functions, taken out again, and never planted where it means nothing."""

from __future__ import annotations

import pytest

from quorate.words import count
from tests.mutants.all import MUTANTS
from tests.mutants.planting import Change, Mutant, Unplantable, changed_source, function_of, planted


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_can_be_planted_and_is_gone_afterwards(mutant: Mutant) -> None:
    functions = [function_of(change.within) for change in mutant.changes]
    sound = [function.__code__ for function in functions]
    with planted(mutant):
        assert all(function.__code__ is not before for function, before in zip(functions, sound, strict=True))
    assert sound == [function.__code__ for function in functions]


def _with(text: str, becomes: str) -> Mutant:
    return Mutant("trial", "", (Change(count, text, becomes),))


def test_who_holds_the_function_already_has_the_wrong_one() -> None:
    held = count
    with planted(_with("return", "return 'wrong' if number == 77 else")):
        assert held(77, "vote") == "wrong"
    assert held(77, "vote") == "77 votes"


def test_a_text_that_is_gone_is_an_error_in_words() -> None:
    with (
        pytest.raises(Unplantable, match="trial: this stands 0 times in count, not once: 'nowhere'"),
        planted(_with("nowhere", "")),
    ):
        pass


def test_a_change_that_is_no_python_is_an_error_in_words() -> None:
    with pytest.raises(Unplantable, match="trial: count with its change is no Python"), planted(_with("return", "(")):
        pass


def test_what_replaces_a_line_is_indented_as_that_line() -> None:
    change = Change(count, "return", "if number == 77:\n    return 'wrong'\nreturn")
    source = changed_source(Mutant("trial", "", (change,)), change)
    assert "    if number == 77:\n        return 'wrong'\n    return" in source
