"""Events of GET /events?only=polls: which polls were made, changed or deleted, without any tally.

They are for whoever follows what can be voted for. A tally may have a hundred thousand options, and changes with each
vote. A poll changes when its version does: that of its state, its title, its closing time and its options.
"""

from __future__ import annotations

from collections.abc import Iterator

from quorate.cluster.fsm import Applied, StateMachine
from quorate.cluster.replica import Replica
from quorate.cluster.state.polls import PollView
from quorate.doors.event import Event


class PollChanges:
    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._versions: dict[str, int] = {}  # as they are known

    def begin(self) -> None:
        """What is there now is known."""
        self._versions = {poll.id: poll.version for poll in self._replica.state.polls()}

    def of(self, applied: Applied) -> Iterator[tuple[str, Event]]:
        """The event of each poll that has changed. Most that are named here only got votes."""
        state = self._replica.state
        for poll_id in applied.polls:
            version = state.poll_version(poll_id)
            if version == self._versions.get(poll_id):
                continue
            poll = state.poll(poll_id)
            if version is None or poll is None:
                del self._versions[poll_id]
                yield poll_id, deleted_event(state, poll_id)
            else:
                self._versions[poll_id] = version
                yield poll_id, _changed_event(poll, state.version)


def _changed_event(poll: PollView, at_version: int) -> Event:
    document = {"id": poll.id, "creation": poll.creation, "state": poll.state, "version": poll.version}
    return Event("poll", poll.id, document, at_version)


def deleted_event(state: StateMachine, poll_id: str) -> Event:
    """It was there. Where the deletion is forgotten already, the number of the creation is not known any more."""
    stone = state.tombstone(poll_id)
    creation = None if stone is None else stone.creation
    document = {"id": poll_id, "creation": creation, "version": state.version}
    return Event("deleted", poll_id, document, state.version)
