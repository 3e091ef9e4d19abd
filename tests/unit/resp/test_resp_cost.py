"""What votes cost a node by Redis' protocol, in steps: `tests/support/steps.py`."""

from __future__ import annotations

import pytest

from tests.support.resp_client import xadd
from tests.support.resp_node import running
from tests.support.steps import StepCount, Steps

ROUNDS, TIMES = 5, 50


@pytest.mark.parametrize(
    ("pipeline", "known"), [(1, Steps(186, 185, 601)), (16, Steps(216, 380, 886))], ids=["alone", "16 at once"]
)
def test_votes_take_no_more_steps_than_they_did(pipeline: int, known: Steps) -> None:
    """Those of one pipeline, from its bytes to its replies, on a cluster of one node without a disk."""
    count = StepCount()
    with running() as node, node.connect() as client:
        node.create()

        def vote(number: int) -> None:
            client.send(b"".join(xadd(f"{number:06d}.{place:02d}") for place in range(pipeline)))
            replies = client.replies(pipeline)
            assert all(isinstance(reply, str) for reply in replies)

        vote(0)
        for first in range(1, ROUNDS * TIMES, TIMES):
            node.http.call(count.start)
            for number in range(first, first + TIMES):
                vote(number)
            node.http.call(count.stop, TIMES)
        assert (ROUNDS * TIMES + 1) * pipeline == node.tally()["happy"]
    assert {} == count.fewest().beyond(known)
