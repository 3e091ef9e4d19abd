"""The made-up posts: options in texts of many languages, reposts, edits, repeats, decoys, and tags that come and go.

Only `Random.random` is asked for numbers, which is the same in all versions of Python.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from quorate.errors import Invalid
from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.ingest.social.post import PostLine
from quorate.ingest.social.synthetic.phrases import DECORATIONS, SYLLABLES, phrases_without
from quorate.ingest.social.synthetic.planting import Garden, Plant
from quorate.ingest.social.synthetic.rhythm import Rhythm
from quorate.ingest.social.synthetic.truth import Truth

T = TypeVar("T")

START_MS = 1_767_225_600_000  # 2026 began; so that the same seed always makes the same bytes
MENTIONING, MORE, DECOYS, TAGGED = 0.6, 0.15, 0.15, 0.25
IN_A_SPIKE = 0.8  # of the posts then speak of one thing
AUTHORS = 20_000
RECENT = 400  # posts that are still reposted and edited
TAGS, TAG_EVERY = 8, 250  # so many are in fashion; a new one comes after so many posts


@dataclass(frozen=True, slots=True)
class LineShares:
    """Of all lines. Not every network has them all."""

    reposts: float = 0.2
    edits: float = 0.03
    repeats: float = 0.005


@dataclass(frozen=True, slots=True)
class _RecentPost:
    post: PostLine
    plants: Sequence[Plant]


ALL_KINDS = LineShares()


class SyntheticPosts:
    """Iterate over it for posts without an end. `truth` is of those that came so far; `kinds` says what they were.

    Raises `Invalid` if there is no option to plant. `prefix` begins the ids of the posts: other posts, other ids.
    """

    def __init__(
        self,
        polls: Sequence[StreamPoll],
        seed: int | str,
        *,
        rate: float = 100.0,
        start_ms: int = START_MS,
        prefix: str | None = None,
        shares: LineShares = ALL_KINDS,
    ) -> None:
        self.truth, garden = Truth(polls), Garden(polls)
        self.left_out = garden.left_out
        if not garden.plants:
            raise Invalid("there is no option that a made-up post could mention without doubt")
        self._chance: Callable[[], float] = random.Random(f"{seed}").random
        self._shares = shares
        self._start_ms, self._prefix = start_ms, f"synthetic-{seed}" if prefix is None else prefix
        self._plants = self._shuffled(garden.plants)
        self._until = list(accumulate(1 / (rank + 1) for rank in range(len(self._plants))))  # Zipf's law
        self._rhythm = Rhythm(rate, self._chance)
        self._languages = phrases_without(garden.is_doubtful)
        self._decorations = [each for each in DECORATIONS if not garden.is_doubtful(each)] or [""]
        self._is_doubtful = garden.is_doubtful
        self._tags: deque[str] = deque(maxlen=TAGS)
        self._next_tag_at = 0
        self._recent: deque[_RecentPost] = deque(maxlen=RECENT)
        self.kinds: Counter[str] = Counter()
        self.posts = 0

    def __iter__(self) -> Iterator[PostLine]:
        while True:
            yield self._next()

    # ---- kinds of posts ---------------------------------------------------------------------------------------------

    def _next(self) -> PostLine:
        created_ms = self._start_ms + int(self._rhythm.next_s() * 1000)
        kind, shares = self._chance() if self._recent else 1.0, self._shares
        self.posts += 1
        if kind < shares.reposts:
            return self._repost(created_ms)
        if kind < shares.reposts + shares.edits:
            return self._edit(created_ms)
        if kind < shares.reposts + shares.edits + shares.repeats:
            self.kinds["repeat"] += 1
            return self._one_of(self._recent).post
        return self._post(created_ms)

    def _post(self, created_ms: int) -> PostLine:
        plants = self._mentioned()
        text, tags = self._text(plants)
        self.kinds["post"] += 1
        return self._known(self._new_line(text, tags, created_ms), plants)

    def _repost(self, created_ms: int) -> PostLine:
        """Late ones are rarer: what is new is repeated most."""
        of = self._recent[-1 - int(len(self._recent) * self._chance() * self._chance())]
        self.kinds["repost"] += 1
        return self._known(self._new_line(of.post.text, of.post.tags, created_ms, is_repost=True), of.plants)

    def _edit(self, created_ms: int) -> PostLine:
        """Another text, with other options, under the id of before: it votes for nothing."""
        before = self._one_of(self._recent).post
        text, tags = self._text(self._mentioned())
        self.kinds["edit"] += 1
        return PostLine(
            before.id, text, before.author, tags, before.is_repost, created_ms, is_edit=True, synthetic=True
        )

    def _new_line(self, text: str, tags: tuple[str, ...], created_ms: int, *, is_repost: bool = False) -> PostLine:
        author = f"{self._prefix}-author-{int(AUTHORS * self._chance() * self._chance())}"
        return PostLine(f"{self._prefix}-{self.posts}", text, author, tags, is_repost, created_ms, synthetic=True)

    def _known(self, post: PostLine, plants: Sequence[Plant]) -> PostLine:
        if plants:
            mentions = [mention for plant in plants for mention in plant.mentions]
            self.truth.add(mentions, post.author, is_repost=post.is_repost)
        self._recent.append(_RecentPost(post, plants))
        return post

    # ---- what stands in them ----------------------------------------------------------------------------------------

    def _mentioned(self) -> list[Plant]:
        """Often none, mostly one, seldom several."""
        if self._rhythm.is_spike and self._chance() < IN_A_SPIKE:
            return [self._plants[self._rhythm.spikes % len(self._plants)]]
        if self._chance() >= MENTIONING:
            return []
        chosen = [self._popular()]
        while self._chance() < MORE:
            if (another := self._popular()) not in chosen:
                chosen.append(another)
        return chosen

    def _text(self, plants: Sequence[Plant]) -> tuple[str, tuple[str, ...]]:
        """Something stands between two options. Hashtags that are listed beside the text are those of one alone."""
        phrases = self._one_of(self._languages)
        parts, tags = [self._one_of(phrases)], tuple[str, ...]()
        for plant in plants:
            spelling = self._one_of(plant.spellings)
            if spelling.tag and len(plants) == 1:
                tags = (spelling.tag,)
            else:
                parts += [spelling.text or plant.spellings[0].text, self._one_of(phrases)]
        extra = self._chance()
        if extra < DECOYS:
            parts.append(self._decoy())
        elif extra < DECOYS + TAGGED:
            parts.append(f"#{self._trending()}")
        if decoration := self._one_of(self._decorations):
            parts.append(decoration)
        return " ".join(parts), tags

    def _decoy(self) -> str:
        """What has an option in it, and mentions none."""
        name = self._popular().name
        kind = self._chance()
        if not name or kind < 0.4:
            return f"@{name or 'nobody'}_{int(kind * 1000)}"
        if kind < 0.8:
            return f"https://social.example/{name}?of={int(kind * 1000)}"
        return "well" if self._is_doubtful(within := f"un{name}ish") else within

    def _trending(self) -> str:
        """One of the tags that are new now."""
        if self.posts >= self._next_tag_at:
            self._next_tag_at = self.posts + TAG_EVERY
            self._tags.append(self._new_tag())
        return self._one_of(self._tags)

    def _new_tag(self) -> str:
        while True:
            tag = "".join(self._one_of(SYLLABLES) for _ in range(4)) + str(self.posts)
            if not self._is_doubtful(tag):
                return tag

    # ---- chance -----------------------------------------------------------------------------------------------------

    def _popular(self) -> Plant:
        return self._plants[bisect(self._until, self._chance() * self._until[-1])]

    def _one_of(self, things: Sequence[T] | deque[T]) -> T:
        return things[int(self._chance() * len(things))]

    def _shuffled(self, plants: Sequence[Plant]) -> list[Plant]:
        return [plant for _, _, plant in sorted((self._chance(), at, plant) for at, plant in enumerate(plants))]
