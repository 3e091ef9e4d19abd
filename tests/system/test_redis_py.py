"""redis-py as it comes, with its own retries, while the leader is killed and paused: each vote counts once."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.support.cluster import Cluster
from tests.support.verdict import assert_equal_everywhere
from tests.system import faults
from tests.system.redis_voters import HOST, KEY, OPTIONS, POLL, RedisVoters

BETWEEN = 300  # votes that are confirmed before each fault, and after the last


@pytest.mark.timeout(400)
def test_retries_of_redis_py_count_once_through_kills_of_the_leader(tmp_path: Path) -> None:
    with Cluster(tmp_path, resp=True) as cluster, cluster.client() as client:
        client.create_poll(POLL, OPTIONS)
        voters = RedisVoters(cluster.resp_ports)
        voters.start()
        for fault in (faults.kill_leader, faults.kill_leader, faults.pause_leader, faults.kill_leader):
            voters.wait_for_votes(BETWEEN)
            cluster.wait_whole(lag_max=faults.LAG_MAX)
            fault(cluster)
        voters.wait_for_votes(BETWEEN)
        voters.finish()
        history = voters.history
        print(f"{len(history.votes)} votes: {history.attempts}")
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results(POLL))
        assert [] == history.problems(shown["results"])
        voters.send_again(sorted(history.acknowledged))  # each was counted before
        again = cluster.wait_for("all nodes agree", lambda: cluster.results(POLL))
        assert shown["results"] == again["results"]
        voters.send_again(sorted(history.open_ids()))
        assert_equal_everywhere(cluster, POLL, history.tally())


def test_a_long_pipeline_is_answered_when_it_is_sent_again(tmp_path: Path) -> None:
    """A node answers many votes that were counted before from its state, and not by the log."""
    with Cluster(tmp_path, resp=True) as cluster, cluster.client() as client:
        client.create_poll(POLL, OPTIONS)
        for port in (*cluster.resp_ports, *cluster.resp_ports):
            with redis.Redis(HOST, port, retry=None) as door, door.pipeline(transaction=False) as pipeline:
                for number in range(1_200):
                    pipeline.xadd(KEY, {"option": "happy"}, idmp=("ana", str(number).encode()))
                assert 1_200 == len(pipeline.execute())
        assert 1_200 == client.results(POLL, level="linearizable")["results"]["happy"]
