"""The matcher against the simplest one that could be written, and texts that are made to be slow."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ingest.social.matching.folding import fold
from quorate.ingest.social.matching.matcher import Matcher
from quorate.ingest.social.matching.option_reading import read_poll
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.post import Post
from tests.unit.ingest.social.matching_texts import mentioned

words = st.text("abcB", min_size=1, max_size=3)
word_options = st.lists(words | st.tuples(words, words).map(" ".join), min_size=1, max_size=12, unique_by=str.lower)
word_texts = st.lists(st.tuples(words, st.sampled_from([" ", ", ", "-", "\n", "! ", "🍕", "(", "é"])), max_size=12)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
pieces = st.text("ab猫犬 é", min_size=1, max_size=5)


@given(word_options, word_texts)
def test_words_are_found_as_a_simple_search_finds_them(options: list[str], parts: list[tuple[str, str]]) -> None:
    text = "".join(word + gap for word, gap in parts)
    assert set(mentioned(options, text)) == {option for option in options if stands_in(option, text)}


def stands_in(option: str, text: str) -> bool:
    between = r"[^\w🍕]+".join(map(re.escape, option.split(" ")))
    return re.search(rf"(?<!\w){between}(?!\w)", text, re.IGNORECASE) is not None


@given(st.lists(pieces, min_size=1, max_size=30, unique_by=fold), st.text("abAB猫犬 éÉ", max_size=60))
def test_a_substring_is_found_as_python_finds_it(options: list[str], text: str) -> None:
    expected = {option for option in options if fold(option) in fold(text)}
    assert expected == set(mentioned(options, text, match="substring"))


@given(
    st.lists(st.text("猫犬アきั", min_size=1, max_size=4), min_size=1, max_size=30, unique_by=fold),
    st.text("猫犬アきั, ", max_size=60),
)
def test_ideographs_are_found_wherever_they_stand(options: list[str], text: str) -> None:
    polls = [StreamPoll("p", tuple(options))]
    alike = {option for group in read_poll(polls[0]).troubles.alike for option in group}
    options = [option for option in options if option not in alike]
    assert set(mentioned(options, text)) == {option for option in options if stands_whole_in(fold(option), fold(text))}


def stands_whole_in(option: str, text: str) -> bool:
    """Not without a mark that stands behind it, nor between letters of a script with spaces."""
    start, end = ("(?<!a)" if option[0] == "a" else "", "(?!a)" if option[-1] == "a" else "")
    return re.search(f"{start}{re.escape(option)}(?!ั){end}", text) is not None


@given(any_text)
def test_a_text_votes_for_itself(text: str) -> None:
    """Whatever can be looked for is found in a text that has nothing else, unless it is an address."""
    if any(sign in fold(text) for sign in ("@", "/", ":", "www.", "npub1", "\0")):
        return
    poll = StreamPoll("p", (text,))
    if not read_poll(poll).troubles.never:
        assert [text] == mentioned([text], text)


@given(any_text)
def test_every_spelling_of_unicode_is_the_same(text: str) -> None:
    spellings = {fold(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert {fold(unicodedata.normalize("NFC", text))} == spellings


@given(any_text, st.lists(any_text.filter(str.strip), max_size=5, unique_by=fold))
def test_no_text_and_no_option_is_too_odd(text: str, options: list[str]) -> None:
    poll = StreamPoll("p", tuple(options))
    if not read_poll(poll).troubles.alike:
        assert set(mentioned(options, text, tags=[text])) <= set(options)


SIZE = 64 * 1024
HOSTILE = {
    "marks": "a" + "\u0301" * SIZE,
    "marks out of order": "a" + "\u0301\u0323" * (SIZE // 2),
    "turned": "\u202e" * SIZE,
    "blown up": "\ufdfa" * SIZE,
    "hashtags": "#abc " * 10_000,
    "hashtags without spaces": "#a" * (SIZE // 2),
    "at signs": "@" * SIZE,
    "people": "a@" * (SIZE // 2),
    "names": "a-" * (SIZE // 2) + "@a",
    "slashes": "a/" * (SIZE // 2),
    "colons": "a://" * (SIZE // 4),
    "domains": "a.a" * (SIZE // 3) + "/",
    "beginnings": "www." * (SIZE // 4),
    "apostrophes": "a'" * (SIZE // 2),
    "points": "a." * (SIZE // 2),
    "numbers": "1,000" * (SIZE // 5),
    "pluses": "+" * SIZE,
    "joined": "👩\u200d" * (SIZE // 2),
    "flags": "🏴" + "\U000e0061" * SIZE,
    "ideographs": "猫" * SIZE,
    "one word": "a" * SIZE,
    "one word in a row": "a " * (SIZE // 2),
}


class _Steps:
    """Counts the lines that run. Time would tell more of the machine than of the matcher."""

    def __init__(self) -> None:
        self.lines = 0

    def __call__(self, frame: object, event: str, argument: object) -> _Steps:
        self.lines += 1
        return self


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_takes_few_steps(name: str) -> None:
    """Some lines a character, and not the square of its length."""
    options = ("abc", "a a", "ice cream", "猫猫猫", "c++", "👩")
    matcher = Matcher([StreamPoll("p", options), StreamPoll("q", options, Rules(match="substring"))])
    steps, before = _Steps(), sys.gettrace()
    sys.settrace(steps)
    try:
        matcher.match(Post("1", HOSTILE[name], tags=_tags(name)))
    finally:
        sys.settrace(before)
    assert steps.lines < 100 * SIZE


def _tags(name: str) -> tuple[str, ...]:
    return ("abc",) * 10_000 if name == "hashtags" else ()


def test_what_stands_behind_the_limit_is_not_looked_at() -> None:
    long: Sequence[str] = mentioned(["abc", "end"], "abc " + "x" * SIZE + " end")
    assert ["abc"] == long
