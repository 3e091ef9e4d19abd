"""Finds rows of tokens in a row of tokens: a tree of what may follow on each token."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.ingest.social.matching.mention import Mention
from quorate.ingest.social.matching.option_reading import Row
from quorate.ingest.social.matching.tokens import forms_of, tag_in


class _Node:
    __slots__ = ("following", "mentions")

    def __init__(self) -> None:
        self.mentions: tuple[Mention, ...] = ()  # of the options that end here
        self.following: dict[str, _Node] | None = None


class RowIndex:
    def __init__(self) -> None:
        self._root: dict[str, _Node] = {}
        self._by_hashtag: dict[str, list[Mention]] = {}

    def __bool__(self) -> bool:
        return bool(self._root)

    def add(self, row: Row, mention: Mention) -> None:
        tokens = iter(row.tokens)
        node = self._root.setdefault(next(tokens), _Node())
        for token in tokens:
            if node.following is None:
                node.following = {}
            node = node.following.setdefault(token, _Node())
        node.mentions = (*node.mentions, mention)
        if row.hashtag:
            self._by_hashtag.setdefault(row.hashtag, []).append(mention)

    def find(self, tokens: Sequence[str]) -> list[tuple[int, Mention]]:
        """What is mentioned, each with the place of its first token. One mention may be found several times."""
        found: list[tuple[int, Mention]] = []
        get = self._root.get
        for at, token in enumerate(tokens):
            if not token.isalnum():
                found += [(at, mention) for mention in self._find_special(tokens, at)]
            elif (node := get(token)) is not None:
                if node.following is None:
                    found += [(at, mention) for mention in node.mentions]
                else:
                    found += [(at, mention) for mention in self._go_on(node, tokens, at + 1)]
        return found

    def _find_special(self, tokens: Sequence[str], at: int) -> list[Mention]:
        """Of a token that has several forms, or is a hashtag."""
        found = self._step(self._root, tokens, at)
        if (tag := tag_in(tokens[at])) and (by_hashtag := self._by_hashtag.get(tag)):
            found += _without_polls_of(found, by_hashtag)
        return found

    def _go_on(self, node: _Node, tokens: Sequence[str], at: int) -> list[Mention]:
        """The longest first."""
        found = self._step(node.following, tokens, at) if node.following is not None and at < len(tokens) else []
        return [*found, *node.mentions]

    def _step(self, following: dict[str, _Node], tokens: Sequence[str], at: int) -> list[Mention]:
        """In a poll that has an option with the whole token, its shorter form mentions nothing: `c++` is not `c`."""
        found: list[Mention] = []
        for form in forms_of(tokens[at]):
            node = following.get(form)
            if node is not None:
                more = self._go_on(node, tokens, at + 1)
                found += _without_polls_of(found, more) if found else more
        return found


def _without_polls_of(found: Sequence[Mention], more: Sequence[Mention]) -> Sequence[Mention]:
    polls = {id(mention.poll) for mention in found}
    return [mention for mention in more if id(mention.poll) not in polls]
