"""Votes while nodes die: whatever is killed, paused or restarted, every vote is counted once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.cluster import Cluster
from tests.system.history import History
from tests.system.verdict import assert_exact, assert_nothing_lost
from tests.system.voters import Voters, sends

OPTIONS = ["happy", "sad", "🙂", "so.so", "$"]
VOTES = 20_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster, cluster.client() as client:
        client.create_poll("mood", OPTIONS)
        yield cluster


def votes(count: int = VOTES) -> dict[str, str]:
    return {f"v{i:06d}": OPTIONS[i * i % 7 % len(OPTIONS)] for i in range(count)}


@pytest.mark.timeout(300)
def test_kill_9_of_the_leader_loses_and_doubles_nothing(cluster: Cluster) -> None:
    history = History(votes())
    voters = Voters(cluster.urls, history, sends(history.votes, twice=0.03, seed=1), seed=1)
    voters.start()
    for share in (0.2, 0.4, 0.6):
        voters.wait_until(share)
        victim = cluster.leader()
        victim.kill()
        cluster.leader(other_than=victim)
        victim.start()
    voters.finish()
    assert_exact(cluster, "mood", history)


@pytest.mark.timeout(300)
def test_a_leader_that_stalls_loses_and_doubles_nothing(cluster: Cluster) -> None:
    history = History(votes())
    voters = Voters(cluster.urls, history, sends(history.votes, twice=0.03, seed=2), seed=2)
    voters.start()
    for share in (0.2, 0.4, 0.6):
        voters.wait_until(share)
        victim = cluster.leader()
        victim.pause()
        cluster.leader(other_than=victim)
        victim.resume()
    voters.finish()
    assert_exact(cluster, "mood", history)


@pytest.mark.timeout(300)
def test_kill_9_of_all_nodes_at_once_loses_nothing_acknowledged(cluster: Cluster) -> None:
    history = History(votes())
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
