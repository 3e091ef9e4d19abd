"""Votes for options that the cluster does not know yet: they wait, where options come from a database.

Somebody puts a poll into MongoDB, and a stream that reads its polls there finds posts for it before the cluster has
found the poll. So its votes are sent again for a while. If the cluster never takes an option, as one that makes no
sense to it, that costs one such wait, and later votes for it are rejected at once. When the poll is changed then, or
deleted and made again, its options may wait again: somebody has mended it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from quorate.ingest.patience import UNKNOWN
from quorate.ingest.social.options.polls_reader import OPTIONS_MAX
from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.vote import Rejection, Tallied, Vote

KEPT_MAX = OPTIONS_MAX  # fewer, and those that are never taken would push each other out, and wait for ever


class UnknownOptions:
    """`wait_s` 0: no vote waits. `polls` gives those in use: the same objects, as long as nothing has changed."""

    def __init__(
        self,
        wait_s: float,
        polls: Callable[[], Sequence[StreamPoll]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wait_s, self._polls, self._clock = wait_s, polls, clock
        self._since_s: dict[tuple[str | None, str], float] = {}  # when each was first found unknown; oldest first
        self._known: Sequence[StreamPoll] = polls()

    def wait(self, votes: Sequence[Vote], tallied: Tallied) -> tuple[list[Vote], Tallied]:
        """Which of these votes are to be sent again, and what has become of the others."""
        if not self._wait_s or not (tallied.rejected or self._since_s):
            return [], tallied
        self._forget_changed()
        again = {each.index for each in tallied.rejected if self._may_wait(votes[each.index], each)}
        rejected = {each.index for each in tallied.rejected}
        for index, vote in enumerate(votes):
            if index not in rejected:
                self._since_s.pop((vote.poll, vote.option), None)
        others = [each for each in tallied.rejected if each.index not in again]
        left = Tallied(tallied.applied, tallied.duplicates, others, tallied.version)
        return [votes[index] for index in sorted(again)], left

    def _forget_changed(self) -> None:
        """What has waited in vain of polls that are others now."""
        polls = self._polls()
        if polls is self._known:
            return
        before = {poll.id: poll for poll in self._known}
        same = {poll.id for poll in polls if before.get(poll.id) is poll}
        self._since_s = {key: since_s for key, since_s in self._since_s.items() if key[0] in same}
        self._known = polls

    def _may_wait(self, vote: Vote, rejection: Rejection) -> bool:
        if rejection.reason not in UNKNOWN:
            return False
        if len(self._since_s) >= KEPT_MAX:
            del self._since_s[next(iter(self._since_s))]
        now_s = self._clock()
        return now_s - self._since_s.setdefault((vote.poll, vote.option), now_s) < self._wait_s
