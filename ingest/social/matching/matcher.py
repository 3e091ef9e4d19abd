"""Which options a post mentions, in one pass over its text, however many options there are.

An option of words stands in the text as these words, at their borders, in a row, or as one hashtag (`#IceCream`). An
option in a script without spaces is found wherever it stands. Addresses of pages, of mail and of people are left out. A
poll may ask for `substring` instead: then all of its options are found wherever their characters stand, in the whole
text. Case, width and signs that nobody sees make no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

from quorate.errors import ConfigError
from quorate.ingest.social.matching.folding import fold
from quorate.ingest.social.matching.links import BREAK, without_links
from quorate.ingest.social.matching.mention import Mention
from quorate.ingest.social.matching.option_reading import Look, OptionTroubles, Row, read_poll
from quorate.ingest.social.matching.piece_index import PieceIndex, cuts_no_word
from quorate.ingest.social.matching.row_index import RowIndex
from quorate.ingest.social.matching.tokens import places_of, tokens_of
from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.ingest.social.post import Post

CHARACTERS_MAX = 65_536  # of a post's text, and of its tags together: what stands behind them is not looked at

__all__ = ["Matcher", "Mention"]


class Matcher:
    """Knows the options of all polls. It is made anew when they change, and is used by one thread at a time.

    Raises `ConfigError`, which names them, if options of a poll cannot be told from each other.

    `has`: of several readers that share the options, which are this one's. The others are known all the same, because
    an option may hide another one of its poll. Of a poll with one vote for each author all are looked for by each
    reader: so all find the same one first, and whose vote comes first makes no difference.
    """

    def __init__(self, polls: Sequence[StreamPoll], has: Callable[[str], bool] = lambda option: True) -> None:
        self._has = has
        self._others: set[int] = set()  # mentions that are another reader's, by their identity
        self._all_may_vote = all(poll.rules.one_per == "post" for poll in polls)
        self._rows = RowIndex()
        self._pieces = PieceIndex()  # options in scripts without spaces
        self._anywhere = PieceIndex()  # options of polls that ask for `substring`
        self.troubles: dict[str, OptionTroubles] = {}  # by poll: options that no text mentions
        self._add_all(polls)
        self._pieces.close()
        self._anywhere.close()

    def _add_all(self, polls: Sequence[StreamPoll]) -> None:
        refused: list[str] = []
        for poll in polls:
            looks, troubles = read_poll(poll)
            if why := troubles.why_refused():
                refused.append(why)
            elif troubles.warning():
                self.troubles[poll.id] = troubles
            for option, look in looks:
                self._add(Mention(poll, option), look)
        if refused:
            raise ConfigError("\n".join(refused))

    def _add(self, mention: Mention, look: Look) -> None:
        if mention.poll.rules.one_per != "author" and not self._has(mention.option):
            self._others.add(id(mention))
        if isinstance(look, Row):
            self._rows.add(look, mention)
        elif look.anywhere:
            self._anywhere.add(look.text, mention)
        else:
            for text in {look.text, look.text.replace(" ", "")}:
                self._pieces.add(text, mention)

    def match(self, post: Post) -> list[Mention]:
        """Each option of each poll at most once; those of one poll in the order in which the post mentions them.

        Of a poll with one vote for each author, only the first. (A network that names no authors has all.)
        """
        folded = fold(post.text[:CHARACTERS_MAX])[:CHARACTERS_MAX]  # one may become eighteen
        found = self._anywhere.find(folded) if self._anywhere else []
        if self._rows or self._pieces:
            found += self._find_whole(without_links(folded + _folded_tags(post)))
        if not found:
            return []
        once = {id(mention): mention for _, mention in found if id(mention) not in self._others}
        if self._all_may_vote and not post.is_repost:
            return [*once.values()]
        return _that_may_vote(post, once.values())

    def _find_whole(self, text: str) -> list[tuple[int, Mention]]:
        if not self._pieces or text.isascii():
            return self._rows.find(tokens_of(text))
        text = " ".join(text.split())
        found = self._rows.find(tokens_of(text))
        pieces = self._pieces.find(text, cuts_no_word)
        if found and pieces:
            places = places_of(text)
            found = [(places[token], mention) for token, mention in found]
        return sorted([*found, *pieces], key=itemgetter(0))


def _that_may_vote(post: Post, mentions: Iterable[Mention]) -> list[Mention]:
    found: list[Mention] = []
    have_voted: set[str] = set()
    for mention in mentions:
        id, rules = mention.poll.id, mention.poll.rules
        if (post.is_repost and not rules.reposts) or id in have_voted:
            continue
        found.append(mention)
        if rules.one_per == "author" and post.author:
            have_voted.add(id)
    return found


def _folded_tags(post: Post) -> str:
    if not post.tags:
        return ""
    return fold("".join(f"{BREAK}#{tag}" for tag in post.tags)[:CHARACTERS_MAX])[:CHARACTERS_MAX]
