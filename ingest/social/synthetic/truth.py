"""How many votes each option should get of the posts that were made: counted from what was planted in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quorate.errors import Invalid
from quorate.ingest.social.options.stream_poll import StreamPoll


class Truth:
    """Each post votes once for each option that it mentions, unless the poll has other rules. Raises `Invalid` for a
    poll that asks for `substring`: what stands somewhere within other words nobody has planted."""

    def __init__(self, polls: Sequence[StreamPoll]) -> None:
        if wrong := [poll.id for poll in polls if poll.rules.match == "substring"]:
            raise Invalid(f"made-up posts are for whole words, and poll {wrong[0]!r} asks for substring")
        self.votes = {poll.id: dict.fromkeys(poll.options, 0) for poll in polls}
        self._have_voted: dict[str, set[str]] = {poll.id: set() for poll in polls if poll.rules.one_per == "author"}

    def add(self, mentions: Iterable[tuple[StreamPoll, str]], author: str, *, is_repost: bool) -> None:
        """A post that came for the first time, with what it mentions, in this order."""
        for poll, option in mentions:
            if is_repost and not poll.rules.reposts:
                continue
            if (voters := self._have_voted.get(poll.id)) is not None:
                if author in voters:
                    continue
                voters.add(author)
            self.votes[poll.id][option] += 1

    @property
    def total(self) -> int:
        return sum(sum(results.values()) for results in self.votes.values())
