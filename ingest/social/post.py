"""A post of a social network, as far as it can become votes."""

from __future__ import annotations

import msgspec


class Post(msgspec.Struct, frozen=True, gc=False):
    """`id` and `author` are the network's own names, unique in it and never shown: posts are people's.

    A new text of an older post is no post: the votes of the first text stay. A network that gives it a new id passes
    over it. `tags` are hashtags that the network lists beside the text, without their `#`.
    """

    id: str
    text: str
    author: str = ""
    tags: tuple[str, ...] = ()
    is_repost: bool = False
    created_ms: int = 0  # Unix, ms, by the network's clock; 0 if it does not say


class PostLine(Post, frozen=True, gc=False):
    """A post on a line of a file. `is_edit`: a new text of a post, which never votes. `synthetic`: nobody wrote it."""

    is_edit: bool = False
    synthetic: bool = False
