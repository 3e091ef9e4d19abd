"""From a mention to a vote. Its id is the same whenever the post is read, so that the vote counts once.

The id is a hash: ids of posts and names of people stay here, and it fits in a vote's id whatever they are made of. The
parts are hashed with their lengths, so that no two different lists of parts look alike.
"""

from __future__ import annotations

import hashlib
import struct

from quorate.ingest.social.matching.matcher import Mention
from quorate.ingest.social.post import Post
from quorate.vote import Vote

DIGEST_BYTES = 16


def vote_for(network: str, post: Post, mention: Mention) -> Vote:
    """In a poll with one vote for each author, all that an author mentions has one id: the first of it counts, and the
    others are ignored. A poll that was made again under its name is another one: each author votes anew.

    A network that does not name its authors has one vote for each post there.
    """
    poll, option = mention.poll, mention.option
    if poll.rules.one_per == "author" and post.author:
        number = (
            [str(poll.creation)] if poll.creation else []
        )  # the first poll of a name has the ids that it always had
        id = f"{network}-{_digest(b'author', network, 'author', post.author, poll.id, *number)}"
        return Vote(option, id, poll.id, first_only=True)
    return Vote(option, f"{network}-{_digest(b'post', network, post.id, poll.id, option)}", poll.id)


def _digest(kind: bytes, *parts: str) -> str:
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    data = b"".join([each for part in encoded for each in (_length(len(part)), part)])
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES, person=kind).hexdigest()


_length = struct.Struct(">I").pack
