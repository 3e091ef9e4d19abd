"""What votes cost a follower, in steps: `tests/support/steps.py`."""

from __future__ import annotations

import pytest

from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.replication import REGULAR
from tests.stock.one_engine import OneEngine
from tests.support.http_node import MOOD, running
from tests.support.steps import StepCount, Steps

ENTRIES = 20
BULK = 1_000


class Follower(OneEngine):
    """An engine whose entries go into a state machine."""

    def __init__(self) -> None:
        super().__init__()
        self.state = StateMachine()

    def apply(self, payload: bytes, index: int, term: int) -> None:
        self.state.apply(payload)


def entries_of(bodies: list[bytes]) -> list[bytes]:
    """All entries of a new cluster that has a poll, and a vote request for each of these bodies."""
    with running() as node:
        assert 201 == node.ask("POST", "/polls", MOOD).status
        for body in bodies:
            assert 200 == node.ask("POST", "/votes", body, {"Content-Type": "application/json"}).status
        return node.replica.formed + node.replica.proposed


def bodies(votes: int) -> list[bytes]:
    numbers = range(ENTRIES)
    return [b"[%b]" % b",".join(b'{"option":"happy","id":"%d.%d"}' % (n, i) for i in range(votes)) for n in numbers]


@pytest.mark.parametrize(
    ("votes", "known"), [(1, Steps(203, 140, 655)), (BULK, Steps(219, 1_167, 4_724))], ids=["one vote", "1,000 votes"]
)
def test_an_entry_takes_no_more_steps_than_it_did(votes: int, known: Steps) -> None:
    """From the leader's message to the promise that it is on disk, and from the journal to the tally."""
    entries = entries_of(bodies(votes))
    before, after = entries[:-ENTRIES], entries[-ENTRIES:]
    with Follower() as follower:
        follower.follows(1, *before, commit=len(before) + 1)
        count = StepCount()
        count.start()
        for place, each in enumerate(after, len(before) + 1):
            follower.hears("b", messages.Append(1, place + 1, place, 1, [(1, REGULAR + each)]))
            follower.syncs()
            follower.engine.tick()
        count.stop(ENTRIES)
        assert {"happy": ENTRIES * votes, "sad": 0} == follower.state.results("mood")
    assert {} == count.fewest().beyond(known)
