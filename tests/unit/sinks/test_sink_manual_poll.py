"""Which documents that people write make sense as a poll, and what is reported of the others."""

from __future__ import annotations

import pytest

from quorate.sinks.importable import ManualPoll, Unreadable
from quorate.sinks.manual_poll import read_manual_poll

TWO = ["a", "b"]


@pytest.mark.parametrize(
    ("title", "options", "results", "expected"),
    [
        ("T", TWO, {"a": 1, "b": 2}, ManualPoll("p", "T", TWO, {"a": 1, "b": 2})),
        (None, TWO, None, ManualPoll("p", "p", TWO, {"a": 0, "b": 0})),
        ("", TWO, {}, ManualPoll("p", "p", TWO, {"a": 0, "b": 0})),
        ("T", TWO, {"b": 3.0}, ManualPoll("p", "T", TWO, {"a": 0, "b": 3})),  # a shell's numbers are doubles
        ("T", TWO, {"b": 2**63 - 1}, ManualPoll("p", "T", TWO, {"a": 0, "b": 2**63 - 1})),
        ("T", ["a.b", "$c"], {"$c": 1}, ManualPoll("p", "T", ["a.b", "$c"], {"a.b": 0, "$c": 1})),
        ("e\u0301", ["e\u0301", "x"], {"e\u0301": 1}, ManualPoll("p", "é", ["é", "x"], {"é": 1, "x": 0})),
    ],
)
def test_what_makes_sense_is_taken(title: object, options: object, results: object, expected: ManualPoll) -> None:
    assert expected == read_manual_poll("p", title, options, results, None)


@pytest.mark.parametrize(
    ("options", "results", "why"),
    [
        (None, None, "options is no list; give a list of texts"),
        ("a,b", None, "options is no list; give a list of texts"),
        ([], None, "it has 0 options; give 2 to 100,000"),
        (["a"], None, "it has 1 option; give 2 to 100,000"),
        ([str(i) for i in range(100_001)], None, "it has 100,001 options; give 2 to 100,000"),
        (["a", 1], None, "option '1' is of type int; give a text"),
        (["a", None], None, "option 'None' is of type NoneType; give a text"),
        (["a", "a"], None, "an option stands there twice"),
        (["é", "e\u0301"], None, "an option stands there twice"),
        (["a", ""], None, "option '' is empty; give 1 to 256 bytes of UTF-8"),
        (["a", "b\0"], None, "option 'b\\x00' has a control character; remove it"),
        ([f"{i:05d}" * 51 for i in range(17_000)], None, "its options are over 4,194,304 bytes of text together"),
        (TWO, [1, 2], "results is no object; give {option: number}, or leave it out"),
        (TWO, {"c": 1}, "results has 'c', which is no option"),
        (TWO, {"a": -1}, "the result of 'a' is -1; give 0 to 2^63-1"),
        (TWO, {"a": 1.5}, "the result of 'a' is '1.5'; give a whole number"),
        (TWO, {"a": float("nan")}, "the result of 'a' is 'nan'; give a whole number"),
        (TWO, {"a": float("inf")}, "the result of 'a' is 'inf'; give a whole number"),
        (TWO, {"a": True}, "the result of 'a' is 'True'; give a whole number"),
        (TWO, {"a": "3"}, "the result of 'a' is '3'; give a whole number"),
        (TWO, {"a": 2**63}, f"the result of 'a' is {2**63}; give 0 to 2^63-1"),
        (TWO, {"a": 2**63 - 1, "b": 1}, "its results together are above 2^63-1"),
    ],
)
def test_what_makes_none_is_said_in_words(options: object, results: object, why: str) -> None:
    assert Unreadable("p", why) == read_manual_poll("p", "T", options, results, None)


@pytest.mark.parametrize(
    ("id", "title", "state", "why"),
    [
        (7, "T", None, "its id is of type int; give a text"),
        ("", "T", None, "its id is empty; give 1 to 128 bytes of UTF-8"),
        ("e\u0301", "T", None, "its id is not in Unicode's normal form C, so it could never be asked for"),
        ("p", ["T"], None, "title is of type list; give a text"),
        ("p", "x" * 1025, None, "title has 1025 bytes of UTF-8; the limit is 1024"),
        ("p", "T", "closed", "state is 'closed'; a new poll is draft or open"),
        ("p", "T", {"of": "Texas"}, "state is \"{'of': 'Texas'}\"; a new poll is draft or open"),
    ],
)
def test_so_are_ids_titles_and_states(id: object, title: object, state: object, why: str) -> None:
    assert Unreadable(str(id), why) == read_manual_poll(id, title, TWO, None, state)


def test_a_draft_stays_a_draft() -> None:
    assert ManualPoll("p", "p", TWO, {"a": 0, "b": 0}, "draft") == read_manual_poll("p", None, TWO, None, "draft")


def test_a_long_id_is_shown_shortened() -> None:
    unreadable = read_manual_poll("x" * 1000, None, TWO, None, None)
    assert isinstance(unreadable, Unreadable)
    assert 129 == len(unreadable.id)
