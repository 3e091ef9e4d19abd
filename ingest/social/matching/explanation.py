"""Why a post mentions what it mentions, and why not what seems to stand in it: for people who try a text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from quorate.ingest.social.matching.folding import fold
from quorate.ingest.social.matching.links import BREAK, without_links
from quorate.ingest.social.matching.matcher import Matcher
from quorate.ingest.social.matching.mention import Mention
from quorate.ingest.social.matching.piece_index import PieceIndex
from quorate.ingest.social.matching.tokens import tokens_of
from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.ingest.social.post import Post


@dataclass(frozen=True, slots=True)
class NoMention:
    """`option` stands in the post, and is not mentioned."""

    poll: str
    option: str
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`read_as` are the tokens of the text, `left_out` the addresses in it."""

    mentions: Sequence[Mention]
    read_as: Sequence[str]
    left_out: Sequence[str]
    not_mentioned: Sequence[NoMention]


def explain(matcher: Matcher, polls: Sequence[StreamPoll], post: Post) -> Explanation:
    mentions = matcher.match(post)
    folded = fold(" ".join([post.text, *(f"#{tag}" for tag in post.tags)]))
    left_out: list[str] = []
    without = without_links(folded, left_out)
    read_as = [token for token in tokens_of(without) if token != BREAK]
    mentioned = {(mention.poll.id, mention.option) for mention in mentions}
    voted = {mention.poll.id for mention in mentions if mention.poll.rules.one_per == "author"}
    not_mentioned = [
        NoMention(poll.id, option, _why(poll, post, fold(option), without, voted))
        for poll, option in _standing_in(polls, folded)
        if (poll.id, option) not in mentioned
    ]
    return Explanation(mentions, read_as, left_out, not_mentioned)


def _standing_in(polls: Sequence[StreamPoll], folded: str) -> Iterator[tuple[StreamPoll, str]]:
    """The options whose characters stand anywhere."""
    index = PieceIndex()
    for poll in polls:
        for option in poll.options:
            if text := fold(option):
                index.add(text, Mention(poll, option))
    index.close()
    yield from {id(mention): mention for _, mention in index.find(folded)}.values()


def _why(poll: StreamPoll, post: Post, option: str, without: str, voted: Collection[str]) -> str:
    if post.is_repost and not poll.rules.reposts:
        return "the poll ignores reposts"
    if option not in without:
        return "it stands only in an address"
    if poll.id in voted:
        return "the poll has one vote for each author, and it stands behind another option"
    return "it stands only inside of another word"
