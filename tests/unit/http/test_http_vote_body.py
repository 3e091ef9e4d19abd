"""How a body of POST /votes is read: strict types, limits, and each vote of a batch by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import Invalid, QuorateError, TooLarge, UnsupportedMedia
from quorate.http.vote_body import ParsedVotes, form_of, read_votes
from quorate.vote import Vote, check_vote
from quorate.vote_json import FEW


def one(body: bytes) -> Vote:
    parsed = read_votes(body, "json")
    assert parsed.single
    return parsed.votes[0]


def outcomes(parsed: ParsedVotes, count: int) -> list[Any]:
    """The outcome of each vote of a request: the vote as a tuple, or the reason why it was refused."""
    found: list[Any] = [None] * count
    for place, vote in zip(parsed.places if parsed.places is not None else range(count), parsed.votes, strict=True):
        found[place] = fields_of(vote)
    for rejection in parsed.refused:
        found[rejection.index] = rejection.reason
    return found


def fields_of(vote: Vote) -> tuple[object, ...]:
    return vote.option, vote.id, vote.poll, vote.weight, vote.first_only


def test_an_option_is_enough() -> None:
    assert Vote("happy") == Vote(one(b'{"option":"happy"}').option)


def test_every_field_is_read() -> None:
    vote = one(b' {"option":"happy","id":"u1","poll":"mood","weight":3,"first_only":true} ')
    assert ("happy", "u1", "mood", 3, True) == fields_of(vote)


def test_texts_are_normalised() -> None:
    vote = one('{"option":"cafe\u0301","id":"e\u0301","poll":"o\u0308"}'.encode())
    assert ("café", "é", "ö") == (vote.option, vote.id, vote.poll)


@pytest.mark.parametrize("lane", ["one", "many"])
@pytest.mark.parametrize(
    ("vote", "error", "words"),
    [
        ('{"option":"happy","weight":0}', Invalid, "weight is 0"),
        ('{"option":"happy","weight":-1}', Invalid, "weight is -1"),
        ('{"option":"happy","weight":1000001}', Invalid, "1,000,000"),
        ('{"option":"happy","weight":9223372036854775808}', Invalid, "weight is 9223372036854775808"),
        ('{"option":"happy","weight":1.5}', Invalid, "got `float`"),
        ('{"option":"happy","weight":1.0}', Invalid, "got `float`"),
        ('{"option":"happy","weight":"1"}', Invalid, "got `str`"),
        ('{"option":"happy","weight":true}', Invalid, "got `bool`"),
        ('{"option":"happy","weight":null}', Invalid, "got `null`"),
        ('{"option":"happy","first_only":1}', Invalid, "got `int`"),
        ('{"option":"happy","first_only":null}', Invalid, "got `null`"),
        ('{"option":7}', Invalid, "got `int`"),
        ('{"option":null}', Invalid, "got `null`"),
        ('{"option":["happy"]}', Invalid, "got `array`"),
        ("{}", Invalid, "missing required field `option`"),
        ('{"option":"happy","wieght":2}', Invalid, "unknown field `wieght`"),
        ("7", Invalid, "got `int`"),
        ("null", Invalid, "got `null`"),
        ('{"option":""}', Invalid, "option is empty"),
        ('{"option":"happy","id":""}', Invalid, "id is empty"),
        ('{"option":"happy","poll":""}', Invalid, "poll is empty"),
        ('{"option":"happy","id":7}', Invalid, "got `int`"),
        ('{"option":"a\\u0000b"}', Invalid, "control character"),
        ('{"option":"a\\u0085b"}', Invalid, "control character"),
        ('{"option":"happy","id":"a\\nb"}', Invalid, "control character"),
        ('{"option":"happy","id":"é\\u0001"}', Invalid, "control character"),
        ('{"option":"happy","poll":"a\\u007f"}', Invalid, "control character"),
        (json.dumps({"option": "x" * 10_000}), TooLarge, "10000 bytes"),
        (json.dumps({"option": "é" * 129}), TooLarge, "258 bytes"),
        (json.dumps({"option": "happy", "id": "x" * 129}), TooLarge, "129 bytes"),
        (json.dumps({"option": "happy", "poll": "é" * 65}), TooLarge, "130 bytes"),
    ],
)
def test_a_vote_that_makes_no_sense_is_refused(lane: str, vote: str, error: type[QuorateError], words: str) -> None:
    if lane == "one":
        with pytest.raises(error, match=words):
            one(vote.encode())
        return
    parsed = read_votes(f'[{{"option":"sad"}},{vote},{{"option":"happy"}}]'.encode(), "json")
    assert ["sad", "happy"] == [vote.option for vote in parsed.votes]
    assert [0, 2] == parsed.places
    assert [1] == [rejection.index for rejection in parsed.refused]
    assert ["too_large" if error is TooLarge else "invalid"] == [rejection.reason for rejection in parsed.refused]
    assert words in parsed.refused[0].detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b'{"option":', "truncated"),
        (b'{"option":"happy"', "the JSON is truncated: a brace, bracket or quote is not closed"),
        (b"option=happy", "malformed"),
        (b'{"option":"happy"} x', "trailing"),
        (b'{"option":"happy"}\n{"option":"sad"}', "x-ndjson"),
        (b"{'option':'happy'}", "malformed"),
        (b"\xef\xbb\xbf{}", "malformed"),
        (b'{"option":"\xff\xfe"}', "UTF-8"),
        (b'[{"option":"happy"},{"option":"\xff"}]', "UTF-8"),
        (b'[{"option":7},{"option":"\xff"}]', "UTF-8"),
        (b'{"option":"a\x00b"}', "malformed"),
        (b'{"option":"\\ud800"}', "truncated"),
        (b'[{"option":"happy"},]', "trailing comma"),
        (b"[]", "no vote"),
        (b"[" * 1_000_000, "nested"),
        (b'[{"option":' + b"[" * 1_000_000, "nested"),
        (b"[{" + b'"x":{' * 1_000_000, "nested"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_as_a_whole(body: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_votes(body, "json")


def test_lines_are_votes_and_empty_lines_nothing() -> None:
    parsed = read_votes(b'{"option":"happy"}\n\n{"option":"sad"}\r\n', "ndjson")
    assert ["happy", "sad"] == [vote.option for vote in parsed.votes]
    assert not parsed.single


def test_a_malformed_line_is_named() -> None:
    with pytest.raises(Invalid, match="line 3"):
        read_votes(b'{"option":"happy"}\n\n{"opt', "ndjson")


def test_a_wrong_line_is_refused_by_itself() -> None:
    parsed = read_votes(b'{"option":"happy"}\n{"option":7,"id":"u9"}\n', "ndjson")
    assert ["happy"] == [vote.option for vote in parsed.votes]
    assert [(1, "u9", "invalid")] == [(r.index, r.id, r.reason) for r in parsed.refused]


def test_one_line_is_still_a_batch() -> None:
    assert not read_votes(b'{"option":"happy"}', "ndjson").single


@pytest.mark.parametrize("broken", [False, True])
def test_too_many_votes_are_refused(broken: bool) -> None:
    votes = [{"option": "happy"}] * 10_000 + [{"option": 7 if broken else "sad"}]
    with pytest.raises(TooLarge, match="10,001"):
        read_votes(json.dumps(votes).encode(), "json")


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("", "json"),
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("application/x-www-form-urlencoded", "json"),  # what curl -d says
        ("application/x-ndjson", "ndjson"),
    ],
)
def test_what_a_content_type_means(content_type: str, form: str) -> None:
    assert form == form_of(content_type)


@pytest.mark.parametrize("content_type", ["text/plain", "text/xml", "multipart/form-data; boundary=x", "json"])
def test_other_content_types_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMedia):
        form_of(content_type)


texts = st.one_of(
    st.sampled_from(
        ["happy", "sad", "", "cafe\u0301", "café", "x" * 128, "x" * 129, "x" * 257, "é" * 70, "a\x00", "a\x7f", "😀"]
    ),
    st.text(max_size=6),
)
wild_votes = st.fixed_dictionaries(
    {"option": texts},
    optional={
        "id": st.one_of(texts, st.none(), st.integers()),
        "poll": st.one_of(texts, st.none()),
        "weight": st.sampled_from([1, 2, 0, -1, 1_000_000, 1_000_001, 2**63, 2**70, 1.5, "1", True, None]),
        "first_only": st.sampled_from([True, False, 1, "true", None]),
    },
)


@given(st.lists(wild_votes, min_size=1, max_size=6))
def test_a_batch_is_read_as_its_votes_would_be_one_by_one(votes: list[dict[str, Any]]) -> None:
    """All three ways to read a vote (alone, in a small batch, in a big one) agree with `check_vote`."""
    expected: list[Any] = []
    for vote in votes:
        try:
            read = read_votes(json.dumps(vote).encode(), "json").votes[0]
            plain = check_vote(Vote(**vote))
            assert fields_of(plain) == fields_of(read)
            expected.append(fields_of(read))
        except TooLarge:
            expected.append("too_large")
        except Invalid:
            expected.append("invalid")
    for times in (1, FEW):
        batch, outcome = votes * times, expected * times
        for escaped in (True, False):
            body = json.dumps(batch, ensure_ascii=escaped).encode()
            assert outcome == outcomes(read_votes(body, "json"), len(batch))
            lines = "\n".join(json.dumps(vote, ensure_ascii=escaped) for vote in batch).encode()
            assert outcome == outcomes(read_votes(lines, "ndjson"), len(batch))
