"""The id of a post's vote: always the same, never the same as another's, and short enough whatever it is made of."""

from __future__ import annotations

import pytest

from quorate.ingest.social.matching.mention import Mention
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.post import Post
from quorate.ingest.social.votes import vote_for
from quorate.vote import ID_BYTES_MAX, check_vote

MOOD, TEA = StreamPoll("mood", ("happy", "sad")), StreamPoll("tea", ("happy",))
ONE = StreamPoll("mood", ("happy", "sad"), Rules(one_per="author"))


def id_of(post: Post, poll: StreamPoll = MOOD, option: str = "happy", network: str = "bluesky") -> str:
    return str(vote_for(network, post, Mention(poll, option)).id)


def test_the_ids_are_these() -> None:
    """Written down: another version that makes others counts posts again that it reads again."""
    assert "bluesky-f27af6c6f96fb4e147a1ca6c916aabda" == id_of(Post("1", ""))
    assert "bluesky-bb1e02962b96da8d8f20125e0173053e" == id_of(Post("1", "", "ana"), ONE)


def test_all_that_a_vote_is_of_makes_its_id_another() -> None:
    ids = [
        id_of(Post("1", "")),
        id_of(Post("2", "")),
        id_of(Post("1", ""), TEA),
        id_of(Post("1", ""), option="sad"),
        id_of(Post("1", ""), network="nostr"),
        id_of(Post("1", "", "ana"), ONE),
        id_of(Post("1", "", "bob"), ONE),
        id_of(Post("author", "", ""), StreamPoll("ana", ()), option="mood"),
        id_of(Post("1m", ""), StreamPoll("ood", ())),
    ]
    assert len(ids) == len(set(ids))


def test_text_and_author_of_a_post_make_no_difference() -> None:
    assert id_of(Post("1", "one", "ana")) == id_of(Post("1", "two", "bob"))


def test_an_author_has_one_id_whatever_they_choose_and_only_the_first_counts() -> None:
    votes = [vote_for("nostr", Post(str(n), "", "ana"), Mention(ONE, o)) for n, o in enumerate(ONE.options)]
    assert 1 == len({vote.id for vote in votes})
    assert all(vote.first_only for vote in votes)


def test_a_poll_that_is_made_again_counts_each_author_anew() -> None:
    again = [StreamPoll("mood", ("happy", "sad"), Rules(one_per="author"), creation) for creation in (0, 7, 9)]
    ids = [id_of(Post("1", "", "ana"), poll) for poll in again]
    assert "bluesky-bb1e02962b96da8d8f20125e0173053e" == ids[0]
    assert 3 == len(set(ids))
    assert ids[1] == id_of(Post("2", "", "ana"), StreamPoll("mood", ("sad",), Rules(one_per="author"), 7))


def test_who_is_not_named_has_a_vote_for_each_post() -> None:
    votes = [vote_for("nostr", Post(str(n), ""), Mention(ONE, "happy")) for n in range(2)]
    assert 2 == len({vote.id for vote in votes})
    assert not any(vote.first_only for vote in votes)


@pytest.mark.parametrize("post_id", ["did:plc:" + "x" * 500 + "/3k", "寿司" * 100, "\ud800", "a\0b"])
def test_ids_of_networks_may_be_anything(post_id: str) -> None:
    vote = check_vote(vote_for("wikimedia", Post(post_id, ""), Mention(MOOD, "happy")))
    assert len(str(vote.id)) < ID_BYTES_MAX
