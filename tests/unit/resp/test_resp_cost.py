"""What votes cost a node by Redis' protocol, in steps: `tests/support/steps.py`."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.support.resp_client import xadd
from tests.support.resp_node import running
from tests.support.steps import StepCount, Steps

ROUNDS, TIMES = 5, 50
CLIENTS = 40


@pytest.mark.parametrize(
    ("pipeline", "alike", "known"),
    [(1, True, Steps(180, 176, 601)), (16, True, Steps(210, 371, 886)), (16, False, Steps(545, 747, 2_082))],
    ids=["alone", "16 at once", "16 that are parsed"],
)
def test_votes_take_no_more_steps_than_they_did(pipeline: int, alike: bool, known: Steps) -> None:
    """Those of one pipeline, from its bytes to its replies, on a cluster of one node without a disk.

    Votes that are alike are taken by their bytes. Others, here for options of two lengths, are parsed.
    """
    options = ["happy", "happy" if alike else "sad"]
    count = StepCount()
    with running() as node, node.connect() as client:
        node.create()

        def vote(number: int) -> None:
            ids = [f"{number:06d}.{place:02d}" for place in range(pipeline)]
            client.send(b"".join(xadd(iid, options[place % 2]) for place, iid in enumerate(ids)))
            replies = client.replies(pipeline)
            assert all(isinstance(reply, str) for reply in replies)

        vote(0)
        for first in range(1, ROUNDS * TIMES, TIMES):
            node.http.call(count.start)
            for number in range(first, first + TIMES):
                vote(number)
            node.http.call(count.stop, TIMES)
        assert (ROUNDS * TIMES + 1) * pipeline == sum(node.tally().values())
    assert {} == count.fewest().beyond(known)


def test_votes_of_many_clients_take_no_more_steps_than_they_did() -> None:
    """One of each at a time, read in the same turn of the loop, so that all share a batch. The steps of one vote."""
    count, known = StepCount(), Steps(33.8, 43.3, 138.8)
    with running() as node, ExitStack() as stack:
        node.create()
        clients = [stack.enter_context(node.connect()) for _ in range(CLIENTS)]

        def vote(number: int) -> None:
            votes = [(client.sock, xadd(f"{number:06d}.{place:02d}")) for place, client in enumerate(clients)]
            node.http.call(lambda: [sock.send(vote) for sock, vote in votes])
            assert all(isinstance(client.reply(), str) for client in clients)

        vote(0)
        for first in range(1, ROUNDS * TIMES, TIMES):
            node.http.call(count.start)
            for number in range(first, first + TIMES):
                vote(number)
            node.http.call(count.stop, TIMES * CLIENTS)
        assert (ROUNDS * TIMES + 1) * CLIENTS == sum(node.tally().values())
    assert {} == count.fewest().beyond(known)
