"""`quorate stream test`: what a text would vote for, and why not."""

from __future__ import annotations

import pytest

from tests.support.http_node import Node
from tests.unit.cli.told import Capture, Told

TEXT = "I love Ice-Cream, see https://x.org/dogs and concatenate @cats"
OPTIONS = ["--option=ice cream", "--option=dogs", "--option=cat", "--option=tea"]


def test_options_are_tried_without_any_cluster(capsys: Capture) -> None:
    told = Told(capsys, "stream", "test", TEXT, *OPTIONS, "--json")
    assert (0, "") == (told.code, told.err)
    assert [{"poll": "test", "option": "ice cream", "one_per": "post"}] == told.json["votes"]
    assert ["https://x.org/dogs", "@cats"] == told.json["left_out"]
    assert ["i", "love", "ice", "cream", "see", "and", "concatenate"] == told.json["read_as"]
    why = {each["option"]: each["why"] for each in told.json["not_mentioned"]}
    assert {"cat": "it stands only inside of another word", "dogs": "it stands only in an address"} == why


def test_people_are_told_in_lines(capsys: Capture) -> None:
    told = Told(capsys, "stream", "test", TEXT, *OPTIONS)
    assert "no vote for 'dogs' in test: it stands only in an address\n" in told.out
    assert "left out: https://x.org/dogs, @cats\n" in told.out
    told = Told(capsys, "stream", "test", "nothing", *OPTIONS)
    assert (0, "No vote: the text mentions none of 4 options in 1 poll.\nread as: nothing\n") == (told.code, told.out)


@pytest.mark.parametrize(
    ("arguments", "votes"),
    [
        (["unhappy", "--option=happy"], []),
        (["unhappy", "--option=happy", "--poll=test: substring"], ["happy"]),
        (["nothing", "--tag=Happy", "--option=happy"], ["happy"]),
        (["sad, happy", "--option=happy", "--option=sad", "--poll=test: one-per-author"], ["sad"]),
        (["happy", "--repost", "--option=happy"], ["happy"]),
        (["happy", "--repost", "--option=happy", "--poll=test: no-reposts"], []),
    ],
)
def test_rules_tags_and_reposts_are_tried(capsys: Capture, arguments: list[str], votes: list[str]) -> None:
    assert votes == [vote["option"] for vote in Told(capsys, "stream", "test", "--json", *arguments).json["votes"]]


def test_the_options_are_those_of_the_cluster(capsys: Capture, node: Node) -> None:
    told = Told(capsys, "stream", "test", "So HAPPY", "--poll=mood: one-per-author", "--json")
    assert [{"poll": "mood", "option": "happy", "one_per": "author"}] == told.json["votes"]
    assert (1, 2) == (told.json["polls"], told.json["options"])
    assert {"happy": 0, "sad": 0} == node.tally(), "nothing is counted"


def test_what_is_wrong_with_options_is_said(capsys: Capture) -> None:
    told = Told(capsys, "stream", "test", "x", "--option=a", "--option=A")
    assert (2, "") == (told.code, told.out)
    assert "'a' and 'A'" in told.err
    told = Told(capsys, "stream", "test", "x", "--option=a", "--option=?")
    assert 0 == told.code
    assert "1 option can never be mentioned" in told.err
    told = Told(capsys, "stream", "test", "x", "--option=a", "--poll=test: regex")
    assert 2 == told.code
    assert "'regex' is none; known: words, substring" in told.err
