"""The tallies that were read last, kept until their polls change: made and encoded once a change, not once a reader.

A vote for one poll leaves the tallies of others as they are, and a read says at which version it is. So a tally that is
kept is that of the present version, until an entry is applied that changes it. Of a big one those parts go on then that
have not changed. What is kept is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.cluster.fsm import Applied, PollView
from quorate.cluster.read.chunks import is_big
from quorate.cluster.read.shared_results import SharedResults
from quorate.cluster.replica import Replica

POLLS_MAX, OPTIONS_MAX = 16, 100_000  # of the polls together; the last one that is kept may have so many alone


@dataclass(slots=True)
class KeptTally:
    """Until it is made, `results` are those of before. `is_current`: they are, or will be, those of this version."""

    poll: PollView
    results: SharedResults | None
    is_made: bool = False
    is_current: bool = True


class KeptTallies:
    """Used on the node's loop."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._kept: dict[str, KeptTally] = {}  # by poll, the one that was begun first in front
        self._version = 0  # of which these are
        replica.on_applied(self._note_changed)

    def of(self, poll: PollView) -> SharedResults | None:
        """The poll's results now, if they are kept."""
        self._drop_unknown()
        kept = self._kept.get(poll.id)
        return kept.results if kept is not None and kept.is_made and kept.is_current and kept.poll is poll else None

    def begin(self, poll: PollView) -> KeptTally:
        """Its results are read now, and may be put together later, from parts of what its `results` are until then."""
        self._drop_unknown()
        before = self._kept.pop(poll.id, None)
        kept = self._kept[poll.id] = KeptTally(poll, None if before is None else before.results)
        return kept

    def keep(self, kept: KeptTally, results: SharedResults) -> SharedResults:
        """The results are complete. They are those of now if the poll has not changed since they were begun."""
        kept.results, kept.is_made = results, True
        while len(self._kept) > POLLS_MAX or (len(self._kept) > 1 and self._options > OPTIONS_MAX):
            del self._kept[next(iter(self._kept))]
        return results

    @property
    def _options(self) -> int:
        return sum(len(kept.poll.options) for kept in self._kept.values())

    def _drop_unknown(self) -> None:
        """All, if the state has changed without a word."""
        if self._version != self._replica.state.version:
            self._version = self._replica.state.version
            self._kept.clear()

    def _note_changed(self, applied: Applied) -> None:
        if applied.version != self._version + 1:
            self._kept.clear()
        self._version = applied.version
        if not self._kept:
            return
        for poll_id in applied.polls:
            self._outdate(poll_id)
        if applied.options:
            state = self._replica.state
            for poll_id in [id for id in self._kept if state.lists_any(id, applied.options)]:
                self._outdate(poll_id)

    def _outdate(self, poll_id: str) -> None:
        kept = self._kept.get(poll_id)
        if kept is None:
            return
        kept.is_current = False
        if not is_big(kept.poll) or self._replica.state.poll_version(poll_id) is None:
            del self._kept[poll_id]
