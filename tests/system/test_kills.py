"""Votes while nodes die: each vote is counted once, whichever nodes are killed, paused or restarted.

`quorate chaos --faults kill-leader,pause-leader` does it for longer, and looks at more.
"""

from __future__ import annotations

import signal

import pytest

from tests.support.cluster import Cluster
from tests.support.history import History
from tests.support.verdict import assert_exact, assert_nothing_lost
from tests.support.voters import Voters, sends
from tests.system import faults

VOTES = 8_000


@pytest.mark.timeout(300)
def test_kill_9_of_the_leader_loses_and_doubles_nothing(cluster: Cluster) -> None:
    history = faults.vote_through(cluster, faults.kill_leader, count=VOTES, times=3, seed=1)
    assert_exact(cluster, "mood", history)


@pytest.mark.timeout(300)
def test_a_leader_that_stalls_loses_and_doubles_nothing(cluster: Cluster) -> None:
    history = faults.vote_through(cluster, faults.pause_leader, count=VOTES, times=3, seed=2)
    assert_exact(cluster, "mood", history)


@pytest.mark.timeout(300)
def test_kill_9_of_all_nodes_at_once_loses_nothing_acknowledged(cluster: Cluster) -> None:
    """The clients send nothing again. After the restart, acknowledged votes are counted, and votes in flight may be."""
    history = History(faults.votes(VOTES))
    voters = Voters(cluster.urls, history, sends(history.votes, twice=0.03, seed=3), seed=3)
    voters.start()
    voters.wait_until(0.4)
    for node in cluster.nodes:
        node.signal(signal.SIGKILL)
    voters.stop()
    for node in cluster.nodes:
        node.ended()
    assert history.open_ids(), "the kill came too late to prove anything"
    cluster.start()
    assert_nothing_lost(cluster, "mood", history)
