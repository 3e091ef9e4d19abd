"""What X sends in a stream and finds in a search: posts, and what it says about the stream.

A post that was edited has a new id, and the list of all its ids, the first one first. Only its first text votes: an
edit is passed over, unless the first text comes beside it, as in a search; then that one is the post.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from quorate.ingest.social.networks.twitter.escapes import unescaped
from quorate.ingest.social.post import Post

ID_DIGITS = 19  # of 64 bits, signed
TWEET_FIELDS = "author_id,created_at,edit_history_tweet_ids,entities,note_tweet,referenced_tweets"


class _Tag(msgspec.Struct):
    tag: str = ""


class _TweetEntities(msgspec.Struct):
    hashtags: list[_Tag] | None = None


class _Note(msgspec.Struct):
    """The whole text of a long post, whose `text` is its beginning."""

    text: str | None = None
    entities: _TweetEntities | None = None


class _Reference(msgspec.Struct):
    type: str = ""
    id: str = ""


class Tweet(msgspec.Struct):
    id: str
    text: str = ""
    author_id: str = ""
    created_at: str = ""
    edit_history_tweet_ids: list[str] | None = None
    entities: _TweetEntities | None = None
    note_tweet: _Note | None = None
    referenced_tweets: list[_Reference] | None = None


class _Includes(msgspec.Struct):
    tweets: list[Tweet] | None = None


class StreamMessage(msgspec.Struct):
    """One line of the stream. Errors beside a post are about parts of it that X cannot send."""

    data: Tweet | None = None
    includes: _Includes | None = None
    errors: list[dict[str, Any]] | None = None
    title: str | None = None
    detail: str | None = None
    connection_issue: str | None = None

    @property
    def problem(self) -> dict[str, Any] | None:
        if self.data is not None:
            return None
        if self.errors:
            return self.errors[0]
        if self.title is None and self.connection_issue is None:
            return None
        return {"title": self.title, "detail": self.detail, "connection_issue": self.connection_issue}


class _SearchMeta(msgspec.Struct):
    next_token: str = ""


class SearchPage(msgspec.Struct):
    data: list[Tweet] | None = None
    includes: _Includes | None = None
    meta: _SearchMeta | None = None

    @property
    def next_token(self) -> str:
        return self.meta.next_token if self.meta else ""


def posts_in(message: StreamMessage | SearchPage) -> list[Post]:
    included = {tweet.id: tweet for tweet in _included(message)}
    return [post for tweet in _sent(message) if (post := _post(tweet, included)) is not None]


def cost_of(message: StreamMessage | SearchPage) -> int:
    """How many posts X bills for it: also those that come along, as the originals of reposts do."""
    return len({tweet.id for tweet in (*_sent(message), *_included(message))})


def newest_in(message: StreamMessage) -> int:
    """The id by which it is found again: that of the text that was sent, be it an edit."""
    id = message.data.id if message.data is not None else ""
    return int(id) if id.isascii() and id.isdigit() and len(id) <= ID_DIGITS else 0


def _sent(message: StreamMessage | SearchPage) -> Iterator[Tweet]:
    if isinstance(message, SearchPage):
        yield from message.data or ()
    elif message.data is not None:
        yield message.data


def _included(message: StreamMessage | SearchPage) -> list[Tweet]:
    return (message.includes.tweets if message.includes else None) or []


def _post(tweet: Tweet, included: Mapping[str, Tweet]) -> Post | None:
    if not tweet.id:
        return None
    first_id = (tweet.edit_history_tweet_ids or [tweet.id])[0]
    if first_id != tweet.id:
        first = included.get(first_id)
        return None if first is None else _post(msgspec.structs.replace(first, edit_history_tweet_ids=None), included)
    reposted = next((each.id for each in tweet.referenced_tweets or () if each.type == "retweeted"), None)
    text, tags = _whole(included.get(reposted or "", tweet))  # the text of a repost itself is a cut copy
    return Post(
        id=tweet.id,
        text=unescaped(text),
        author=tweet.author_id,
        tags=tags,
        is_repost=reposted is not None,
        created_ms=_created_ms(tweet.created_at),
    )


def _whole(tweet: Tweet) -> tuple[str, tuple[str, ...]]:
    text, entities = tweet.text, tweet.entities
    if tweet.note_tweet is not None and tweet.note_tweet.text is not None:
        text, entities = tweet.note_tweet.text, tweet.note_tweet.entities or entities
    tags = tuple(each.tag for each in (entities.hashtags if entities else None) or () if each.tag)
    return text, tags


def _created_ms(text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1_000) if text else 0
    except (ValueError, OverflowError):
        return 0
