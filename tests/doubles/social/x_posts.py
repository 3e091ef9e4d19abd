"""The posts that an X double knows, as its stream and its search show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from quorate.ingest.social.networks.x.snowflake import ms_of
from tests.doubles.social.x_rules import wants

CUT = 100  # characters of an original that a repost shows


@dataclass(slots=True)
class SaidPost:
    id: str
    text: str
    author: str
    original: SaidPost | None
    tags: list[str]
    history: list[str] = field(default_factory=list)  # shared by all texts of an edited post

    @property
    def whole(self) -> SaidPost:
        return self.original or self

    @property
    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": self.id,
            "text": self.text if self.original is None else f"RT @someone: {self.original.text[:CUT]}…",
            "author_id": self.author,
            "created_at": datetime.fromtimestamp(ms_of(int(self.id)) / 1_000, UTC).isoformat(timespec="milliseconds"),
            "edit_history_tweet_ids": self.history[: self.history.index(self.id) + 1],
        }
        if self.original is not None:
            shown["referenced_tweets"] = [{"type": "retweeted", "id": self.original.id}]
        if self.tags:
            shown["entities"] = {"hashtags": [{"start": 0, "end": 1, "tag": tag} for tag in self.tags]}
        return shown


@dataclass(slots=True)
class SearchIndex:
    posts: dict[str, SaidPost] = field(default_factory=dict)
    _newest: int = 0

    def add(self, id: int, text: str, author: str, original: SaidPost | None, tags: list[str]) -> SaidPost:
        post = SaidPost(self._unique(id), text, author, original, tags)
        post.history = [post.id]
        self.posts[post.id] = post
        return post

    def edit(self, id: int, of: str, text: str) -> SaidPost:
        before = self.posts[of]
        post = SaidPost(self._unique(id), text, before.author, None, [], before.history)
        before.history.append(post.id)
        self.posts[post.id] = post
        return post

    def _unique(self, id: int) -> str:
        self._newest = max(id, self._newest + 1)
        return str(self._newest)

    def find(self, alternatives: list[str], since: int, until: int, *, reposts: bool) -> list[SaidPost]:
        """The newest first. Of an edited post only the newest text is found."""
        return [
            post
            for post in reversed(list(self.posts.values()))
            if since < int(post.id) < until
            and post.id == post.history[-1]
            and (reposts or post.original is None)
            and any(wants(each, post.whole.text, post.whole.tags) for each in alternatives)
        ]

    def included(self, posts: Iterable[SaidPost], *, edits: bool) -> dict[str, Any]:
        """The originals of reposts, and perhaps earlier texts, as the expansions bring them along."""
        found = {post.original.id: post.original for post in posts if post.original is not None}
        if edits:
            found |= {id: self.posts[id] for post in posts for id in post.history if id != post.id}
        return {"includes": {"tweets": [post.shown for post in found.values()]}} if found else {}
