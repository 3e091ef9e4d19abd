"""The end of each test with faults: all nodes and the database have the same tally, and it is right."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.processes.cluster import FreshCluster
from quorate.vote import Vote
from tests.support.cluster import in_sqlite
from tests.support.history import History
from tests.support.waiting import wait_for

BATCH = 5_000


def assert_exact(cluster: FreshCluster, poll_id: str, history: History) -> None:
    """Each vote is acknowledged and counted once: on each node, in SQLite, and also after all are sent again."""
    assert set() == history.open_ids()
    assert_equal_everywhere(cluster, poll_id, history.tally())
    assert [] == history.problems(history.tally())
    assert 0 == applied_anew(cluster, history, sorted(history.votes)), "an acknowledged id was not known any more"
    assert_equal_everywhere(cluster, poll_id, history.tally())


def assert_nothing_lost(cluster: FreshCluster, poll_id: str, history: History) -> None:
    """Some outcomes are unknown: acknowledged votes are counted, and no vote twice. Then all votes are sent again."""
    shown = cluster.wait_for("all nodes agree", lambda: cluster.results(poll_id))
    assert [] == history.problems(shown["results"])
    assert 0 == applied_anew(cluster, history, sorted(history.acknowledged)), "an acknowledged vote was lost"
    applied_anew(cluster, history, sorted(history.open_ids()))
    assert_equal_everywhere(cluster, poll_id, history.tally())


def assert_equal_everywhere(cluster: FreshCluster, poll_id: str, expected: dict[str, int]) -> None:
    shown = cluster.wait_for("all nodes agree", lambda: cluster.results(poll_id))
    assert expected == {option: count for option, count in shown["results"].items() if count}
    wait_for(
        f"SQLite holds {expected}",
        lambda: in_sqlite(cluster.sqlite, poll_id) == shown["results"],
        deadline_s=10,
        seen=lambda: f"it has {in_sqlite(cluster.sqlite, poll_id)}\n{cluster.seen()}",
    )


def applied_anew(cluster: FreshCluster, history: History, ids: Sequence[str]) -> int:
    """Send the votes again. Returns how many of them had not been counted before."""
    applied = 0
    with cluster.client(timeout_s=60) as client:
        for start in range(0, len(ids), BATCH):
            votes = [Vote(option=history.votes[i], id=i) for i in ids[start : start + BATCH]]
            tallied = client.cast(votes)
            assert [] == tallied.rejected[:3]
            assert len(votes) == tallied.applied + tallied.duplicates
            applied += tallied.applied
    return applied
