"""What networks send that is not quite JSON, or that nobody foresaw: read as far as it can be, and never a crash."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec
import pytest

from quorate.ingest.social.networks.bluesky.messages import JetstreamEvent, NoEvent, read_bare, read_frame
from quorate.ingest.social.networks.mastodon.instance import limit_reset_s
from quorate.ingest.social.networks.mastodon.statuses import post_of, read_status
from quorate.ingest.social.networks.nostr.events import HeardNote, read_message
from quorate.ingest.social.networks.twitter.messages import LINES_HELD, MessageReader, Nonsense
from quorate.ingest.social.networks.wikimedia.changes import NoChange, WikiChange
from quorate.ingest.social.networks.x.filtered_stream import read_line
from quorate.ingest.social.networks.x.posts import StreamMessage, cost_of, newest_in, posts_in
from quorate.ingest.social.post import Post

Read = Callable[[bytes], list[Post]]  # a line with one post

NUMBERS = [b"NaN", b"-Infinity", b"1e400", b"1" * 30, b"1" * 5_000]
STRANGE = [
    *NUMBERS,
    *(b"null", b"true", b"-1", b"1.5", b"[]", b"{}", b"[[[]]]", b"[" * 100_000),
    *(b'"' + text + b'"' for text in (b"", b"NaN", b"1e400", b"9" * 5_000, b"\\u0000", b"\\ud800", b"\xff")),
    *(b'"' + text + b'"' for text in (b"0001-01-01T00:00:00", b"9999-12-31T23:59:59-14:00", "²٣".encode())),
]


def twitter(line: bytes) -> list[Post]:
    return [message for message in MessageReader().read(line + b"\r") if isinstance(message, Post)]


def x(line: bytes) -> list[Post]:
    message = read_line(msgspec.json.Decoder(StreamMessage), line)
    if message is None:
        return []
    assert 0 <= newest_in(message) < 2**64
    assert cost_of(message) >= 0
    return posts_in(message)


def wikimedia(line: bytes) -> list[Post]:
    try:
        change = WikiChange(line)
    except NoChange:
        return []
    assert (change.key, change.is_canary) == (change.key, False)
    assert change.topic is None or change.ms >= 0
    return [change.post()]


def mastodon(line: bytes) -> list[Post]:
    status = read_status(line)
    post = None if status is None else post_of(status, "mastodon.example")
    return [] if post is None else [post]


def bluesky(line: bytes) -> list[Post]:
    try:
        event = read_frame(line)
    except NoEvent:
        return []
    return [event.post] if isinstance(event, JetstreamEvent) and event.post is not None else []


def bluesky_1(line: bytes) -> list[Post]:
    with contextlib.suppress(NoEvent):
        event = read_bare(line)
        return [event.post] if isinstance(event, JetstreamEvent) and event.post is not None else []
    return []


def nostr(line: bytes) -> list[Post]:
    message = read_message(line)
    return [message.event.post()] if isinstance(message, HeardNote) and message.event.is_what_its_id_says() else []


COMMIT = b'"operation":"create","collection":"app.bsky.feed.post","rkey":"r","record":{"text":"%s"%s}'
EVENT = b'"$type":"x#commit","seq":1,"did":"d","time":"2026-11-27T08:00:00Z",' + COMMIT
LINES: list[tuple[Read, bytes]] = [  # each has a place for its text, and one for more fields beside it
    (twitter, b'{"id":1,"text":"%s"%s}'),
    (x, b'{"data":{"id":"1","text":"%s"%s}}'),
    (wikimedia, b'{"title":"%s"%s}'),
    (wikimedia, b'{"title":"%s","meta":{"id":"1"%s}}'),
    (mastodon, b'{"id":"1","content":"%s","visibility":"public"%s}'),
    (bluesky, b'{"$type":"message","payload":{%s}}' % EVENT),
    (bluesky_1, b'{"did":"d","time_us":1,"kind":"commit","commit":{%s}}' % COMMIT),
]
OF_NOSTR = b'["EVENT","live",{"id":"1","pubkey":"a","created_at":1,"kind":1,"content":"%s","tags":[]%s}]'
FIELDS = [
    *("id", "id_str", "text", "full_text", "timestamp_ms", "created_at", "coordinates", "user", "limit", "warning"),
    *("disconnect", "entities", "extended_tweet", "retweeted_status", "edit_history", "ext_edit_control", "author_id"),
    *("edit_history_tweet_ids", "note_tweet", "referenced_tweets", "meta", "timestamp", "title", "comment", "type"),
    *("parsedcomment", "wiki", "dt", "domain", "topic", "partition", "uri", "content", "visibility", "reblog", "tags"),
    *("account", "edited_at", "spoiler_text", "seq", "did", "time", "time_us", "operation", "collection", "rkey"),
    *("record", "name", "$type", "kind", "commit", "facets", "pubkey", "sig"),
]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(("read", "line"), LINES)
def test_a_number_that_json_does_not_have_hides_no_post(read: Read, line: bytes, number: bytes) -> None:
    assert [post.text for post in read(line % (b"so happy", b',"elsewhere":%s' % number))] == ["so happy"]


@pytest.mark.parametrize("text", [b"happy \\ud83d", b"happy \xf0\x9f", b"happy \x01"])
@pytest.mark.parametrize(("read", "line"), LINES)
def test_half_a_character_hides_no_post(read: Read, line: bytes, text: bytes) -> None:
    (post,) = read(line % (text, b""))
    assert "happy" == post.text.split()[0]
    assert post.text.encode()  # it can be hashed, and sent


@pytest.mark.parametrize(("read", "line"), [*LINES, (nostr, OF_NOSTR)])
def test_whatever_stands_in_a_field_nothing_is_raised(read: Read, line: bytes) -> None:
    for field in FIELDS:
        for value in STRANGE:
            for post in read(line % (b"so happy", b',"%s":%s' % (field.encode(), value))):
                assert post.id
    for value in STRANGE:
        read(value)


@pytest.mark.parametrize("name", ["limit", "warning", "disconnect"])
def test_numbers_of_messages_about_a_stream(name: str) -> None:
    for value in STRANGE:
        list(MessageReader().read(b'{"%s":{"track":%s,"percent_full":1,"code":4}}\r' % (name.encode(), value)))


def test_a_moment_that_is_none_is_no_limit() -> None:
    assert limit_reset_s({"X-RateLimit-Reset": "0001-01-01T00:00:00"}) is None


def test_a_line_that_never_becomes_a_post_is_given_up() -> None:
    reader = MessageReader()
    found = [message for line in [b'{"text":"', *[b"a"] * 3 * LINES_HELD] for message in reader.read(line)]
    assert {Nonsense()} == set(found)
    assert 2 <= len(found) <= 4
