"""A poll as a stream sees it: its options, and how posts vote for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rules:
    """`match`: options as whole words and hashtags, or wherever their characters stand. `one_per`: how often a person
    may vote: once with each post and option, or once. The latter holds while the vote's id is protected."""

    match: Literal["words", "substring"] = "words"
    one_per: Literal["post", "author"] = "post"
    reposts: bool = True  # whether a repost votes, too


@dataclass(frozen=True, slots=True)
class StreamPoll:
    """`creation`: the cluster's number of a poll that was made again under the name of a deleted one; 0 for others."""

    id: str
    options: Sequence[str]
    rules: Rules = Rules()
    creation: int = 0
