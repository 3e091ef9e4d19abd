"""Votes that waited in a queue while their poll was deleted and another one took its name.

HTTP's requests are on their way for seconds, and `entry.Seen` is enough for them. A queue keeps messages for days, and
knows when each was put there. A poll that took a used name counts no older ones (`PollView.since_ms`).
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.cluster.fsm import StateMachine
from quorate.vote import Vote

TOO_OLD = "it was sent before the poll was created, for an earlier poll of this name, which was deleted"


def old_votes(state: StateMachine, votes: Sequence[Vote], sent_ms: Sequence[int]) -> dict[int, None]:
    """The places of such votes. `sent_ms` has 0 where nobody knows."""
    if not state.has_deleted:
        return {}
    since = {poll: state.since_ms(poll) for poll in {vote.poll for vote in votes} if poll is not None}
    return {
        place: None
        for place, (vote, sent) in enumerate(zip(votes, sent_ms, strict=True))
        if vote.poll is not None and 0 < sent < since[vote.poll]
    }
