"""By which rules posts vote in a poll, as people say it."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.options.poll_rules import read_rules, rules_in_document
from quorate.ingest.social.options.stream_poll import Rules


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], {}),
        (["mood: substring"], {"mood": Rules(match="substring")}),
        (["mood:one-per-author,no-reposts"], {"mood": Rules(one_per="author", reposts=False)}),
        (["mood: substring", "one-per-author", "tea: words"], {"mood": Rules("substring", "author"), "tea": Rules()}),
        (["a:b: substring"], {"a:b": Rules(match="substring")}),
        (["cafe\u0301: substring"], {"café": Rules(match="substring")}),
    ],
)
def test_rules_are_read(texts: list[str], expected: dict[str, Rules]) -> None:
    assert expected == read_rules(texts)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["mood"], "name no poll"),
        ([": substring"], "name no poll"),
        (["mood: substrings"], "'substrings' is none; known: words, substring"),
        (["mood:"], "given no rule"),
        (["mood: words substring"], "words and substring contradict"),
        (["mood: words", "mood: substring"], "given twice"),
        (["substring"], "name no poll"),
    ],
)
def test_rules_that_make_no_sense_are_refused(texts: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_rules(texts)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, Rules()),
        ({}, Rules()),
        ({"match": "substring", "one_per": "author", "reposts": False}, Rules("substring", "author", False)),
    ],
)
def test_rules_in_a_document_are_read(stored: Any, expected: Rules) -> None:
    assert expected == rules_in_document(stored)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("substring", "no object"),
        ({"match": "regex"}, "stream.match is 'regex'; give words or substring"),
        ({"reposts": 0}, "stream.reposts is '0'; give true or false"),
        ({"per": "author"}, "stream has 'per', which is none of match, one_per, reposts"),
        ({"match": []}, "stream.match"),
    ],
)
def test_rules_in_a_document_that_make_no_sense_are_refused(stored: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rules_in_document(stored)
