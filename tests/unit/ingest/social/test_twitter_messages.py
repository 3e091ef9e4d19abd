"""What a line of a `statuses/filter` stream says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.ingest.social.networks.twitter.messages import (
    Disconnect,
    FallingBehind,
    Message,
    MessageReader,
    Nonsense,
    Withheld,
)
from quorate.ingest.social.post import Post

TWEET = {
    "id": 12,
    "id_str": "12",
    "text": "so happy",
    "user": {"id": 7, "id_str": "7"},
    "timestamp_ms": "1700000000123",
}
POST = Post(id="12", text="so happy", author="7", created_ms=1_700_000_000_123)


def read(*lines: bytes) -> list[Message]:
    reader = MessageReader()
    return [message for line in lines for message in reader.read(line)]


def said(**fields: Any) -> list[Message]:
    return read(json.dumps(fields).encode() + b"\r")


def test_a_post() -> None:
    assert [POST] == said(**TWEET)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"full_text": "the whole"}, "the whole"),
        ({"truncated": True, "extended_tweet": {"full_text": "all of it"}}, "all of it"),
        ({"extended_tweet": None, "full_text": None}, "so happy"),
        ({"text": "&lt;3 &amp;lt; AT&amp;T &copy; &gt;"}, "<3 &lt; AT&T &copy; >"),
        ({"text": ""}, ""),
        ({"retweeted_status": {**TWEET, "id_str": "3", "text": "original"}, "text": "RT @you: ori…"}, "original"),
        ({"quoted_status": {**TWEET, "text": "theirs"}}, "so happy"),
        ({"text": "two\nlines"}, "two\nlines"),
    ],
)
def test_the_text_is_the_whole_one(fields: dict[str, Any], text: str) -> None:
    (post,) = said(**TWEET | fields)
    assert isinstance(post, Post)
    assert ("12", text) == (post.id, post.text)
    assert ("retweeted_status" in fields) == post.is_repost


def test_a_repost_is_by_who_reposts_and_has_the_tags_of_the_original() -> None:
    original = {
        "id_str": "3",
        "text": "cut…",
        "user": {"id_str": "1"},
        "entities": {"hashtags": []},
        "extended_tweet": {
            "full_text": "whole #Mood",
            "entities": {"hashtags": [{"text": "Mood", "indices": [6, 11]}]},
        },
    }
    (post,) = said(**TWEET, retweeted_status=original)
    assert Post("12", "whole #Mood", "7", ("Mood",), True, 1_700_000_000_123) == post


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"limit": {"track": 1234, "timestamp_ms": "1"}}, Withheld(1234)),
        ({"warning": {"code": "FALLING_BEHIND", "percent_full": 60}}, FallingBehind(60)),
        ({"disconnect": {"code": 7, "stream_name": "s", "reason": "admin logout"}}, Disconnect(7)),
        ({"disconnect": {"code": "what"}}, Disconnect(0)),
    ],
)
def test_messages_about_the_stream(fields: dict[str, Any], message: Message) -> None:
    assert [message] == said(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"delete": {"status": {"id": 1234, "id_str": "1234", "user_id": 3}}},
        {"scrub_geo": {"user_id": 14, "up_to_status_id": 23}},
        {"status_withheld": {"id": 1234, "user_id": 1, "withheld_in_countries": ["DE"]}},
        {"user_withheld": {"id": 1, "withheld_in_countries": ["DE"]}},
        {"something_new": [1, 2]},
        {"id": 5},
        {"text": "nobody's"},
        {"id_str": "12", "text": 5},
        {"id_str": "12", "text": "ok", "user": [1]},
        {"limit": "none"},
    ],
)
def test_what_is_no_post_is_passed_over(fields: dict[str, Any]) -> None:
    assert [] == said(**fields)


@pytest.mark.parametrize("line", [b"", b"\r", b" \r"])
def test_blank_lines_say_nothing(line: bytes) -> None:
    assert [] == read(line)


@pytest.mark.parametrize(
    "line",
    [b"<html>\r", b"[1]\r", b"7\r", b'{"id": 12, "text"\r', b"\xff\xfe\r", b"[" * 100_000 + b"\r"],
    ids=range(6),
)
def test_nonsense_is_told(line: bytes) -> None:
    assert [Nonsense(), POST] == read(line, json.dumps(TWEET).encode() + b"\r")


def test_a_message_may_hold_bare_line_breaks() -> None:
    """Twitter's documents: content may contain linefeeds, but no carriage returns."""
    pretty = json.dumps(TWEET, indent=1).encode() + b"\r"
    assert [POST, POST] == read(*pretty.split(b"\n"), *pretty.split(b"\n"))
    (broken,) = read(*b'{"id": 12, "text": "two\nlines"}\r'.split(b"\n"))
    assert isinstance(broken, Post)
    assert "two\nlines" == broken.text


def test_messages_may_end_with_a_bare_line_break() -> None:
    line = json.dumps(TWEET).encode()
    assert [POST, POST] == read(line, b"", line)
    assert [Nonsense(), POST, POST] == read(b"<html>", line, line)


def test_half_a_surrogate_pair_is_text_too() -> None:
    (post,) = read(b'{"id": 12, "text": "so \\ud83d happy"}\r')
    assert isinstance(post, Post)
    assert "happy" in post.text


def test_the_time_is_read_in_both_spellings() -> None:
    tweet = {name: value for name, value in TWEET.items() if name != "timestamp_ms"}
    (post,) = said(**tweet, created_at="Wed Aug 27 13:08:45 +0000 2008")
    assert isinstance(post, Post)
    assert 1_219_842_525_000 == post.created_ms
    (post,) = said(**tweet, created_at="yesterday")
    assert isinstance(post, Post)
    assert 0 == post.created_ms
