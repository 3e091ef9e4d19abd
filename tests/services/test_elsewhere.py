"""The clusters of `bench/elsewhere` are really broken by the faults of `quorate chaos`: real etcd, real Redis.

They are skipped where the programs are not on PATH.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from bench.elsewhere import peers, rows
from bench.elsewhere.etcd_cluster import EtcdCluster, EtcdNode, ask
from bench.elsewhere.redis_cluster import RedisCluster, RedisNode
from bench.elsewhere.run import KINDS, run_way
from tests.support.waiting import wait_for

ELECTED_S = 20.0


def cluster_of(program: str, make: Callable[[], Any]) -> Any:
    if (why := peers.missing(program)) is not None:
        pytest.skip(why)
    return make()


def cut_off(cluster: Any) -> tuple[Any, Any, Any]:
    """Cut the leader off by the nemesis of `quorate chaos`: the fault, who led, and who leads then."""
    led = cluster.leader_now()
    fault = KINDS["partition-leader"].begin(cluster, random.Random(1))
    assert [led.id] == fault.victims

    def other() -> Any:
        found = cluster.leader_now()
        return found if found is not None and found is not led else None

    return fault, led, wait_for("another node leads", other, deadline_s=ELECTED_S)


def test_an_etcd_leader_that_is_cut_off_answers_no_linearizable_read_and_comes_back(tmp_path: Path) -> None:
    with cluster_of("etcd", lambda: EtcdCluster(tmp_path)) as cluster:
        fault, led, leads = cut_off(cluster)
        assert led.running
        range_ = "/v3/kv/range"
        assert "header" in ask(leads, range_, b'{"key":"eA=="}', timeout_s=5)
        with pytest.raises((URLError, TimeoutError)):
            ask(led, range_, b'{"key":"eA=="}', timeout_s=2)
        fault.end()
        cluster.heal()

        def follows(node: EtcdNode) -> bool:
            told = ask(node, "/v3/maintenance/status", timeout_s=5)
            return bool(told["leader"] != told["header"]["member_id"])

        wait_for("it follows", lambda: follows(led))


def test_sentinel_replaces_a_redis_primary_that_is_cut_off_and_clients_still_reach_it(tmp_path: Path) -> None:
    with cluster_of("redis-server", lambda: RedisCluster(tmp_path)) as cluster:
        fault, led, _ = cut_off(cluster)
        assert "master" == led.info("replication")["role"], "clients reach it directly, and it does not know yet"
        fault.end()
        cluster.heal()

        def follows(node: RedisNode) -> bool:
            return node.info("replication")["role"] == "slave"

        assert follows(led)


def test_a_short_run_on_etcd_with_ids_is_clean(tmp_path: Path) -> None:
    way = next(way for way in rows.WAYS if way.name == "etcd-id")
    if (why := way.missing()) is not None:
        pytest.skip(why)
    history = tmp_path / "etcd-id.ndjson"
    found = run_way(way, history, seed=1, seconds=6, faults=["kill-leader", "partition-leader"])
    header = json.loads(history.read_text().splitlines()[0])
    assert ["kill-leader", "partition-leader"] == header["faults"]
    assert ("clean", {}) == (found.verdict, found.found)
    assert (0, 0, 0) == (found.counted.lost, found.counted.doubled, found.counted.stale)
    assert found.counted.acknowledged
    assert found.counted.faults
