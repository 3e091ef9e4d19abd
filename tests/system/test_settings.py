"""Nodes whose settings differ say so, and what is set for the cluster holds on every node, whatever its file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quorate.processes.node import NodeProcess
from quorate.vote import Vote
from tests.support.cluster import Cluster

LINE = "votes.dedup_window is 77 in this node's settings, and 50 in the cluster, which holds"


def settings_of(node: NodeProcess) -> dict[str, Any]:
    return {each["name"]: each for each in node.get("/settings")["settings"]}


def test_settings_that_differ_are_told_and_those_of_the_cluster_hold(tmp_path: Path) -> None:
    with Cluster(tmp_path, settings={"votes.dedup_window": 50}) as cluster:
        odd = cluster.followers()[0]
        assert 0 == odd.stop(), odd.tail()
        odd.settings |= {"votes.dedup_window": 77, "flush.interval_ms": 2_000}
        interval = cluster.leader().settings.get("flush.interval_ms", 1_000)
        odd.start()
        cluster.wait_ready([odd])
        cluster.wait_for("the odd node says so", lambda: LINE in odd.output() or None)
        line = next(line for line in odd.output().splitlines() if LINE in line)
        assert f"flush.interval_ms is 2,000 here and {interval:,} on {cluster.leader().id}" in line
        status, body, _ = odd.ask("GET", "/readyz?verbose")
        assert 200 == status
        assert f"[+] settings 2 not as the cluster has them: {LINE}" in body.decode()
        for node in cluster.nodes:
            shown = settings_of(node)
            assert (50, [odd.id]) == (shown["votes.dedup_window"]["value"], shown["votes.dedup_window"]["differ"])
            assert (interval, [odd.id]) == (shown["flush.interval_ms"]["value"], shown["flush.interval_ms"]["differ"])
            assert [] == shown["sqlite.path"]["differ"]
        the_window_is_set(cluster, odd)


def the_window_is_set(cluster: Cluster, odd: NodeProcess) -> None:
    """Through a follower, and for all nodes at one version. It stays when a node starts again with another one."""
    status, body, _ = odd.ask("PUT", "/settings/votes.dedup_window", b'{"value": 60}')
    assert (200, 60) == (status, json.loads(body)["value"])
    with cluster.client() as client:
        assert 60 == client.set_setting("votes.dedup_window", 60)["value"]
        client.create_poll("mood", ["happy", "sad"])
        for start in range(0, 200, 20):
            assert 20 == client.cast([Vote("happy", id=f"v{start + i}") for i in range(20)]).applied
    odd.kill()
    odd.start()
    cluster.wait_ready([odd])
    assert [60, 60, 60] == [node.get("/status")["state"]["dedup"]["size"] for node in cluster.nodes]
    shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
    assert 200 == shown["total"]
    cluster.wait_for(
        "every node has told that its file says otherwise",
        lambda: sorted(settings_of(odd)["votes.dedup_window"]["differ"]) == ["n1", "n2", "n3"],
    )
