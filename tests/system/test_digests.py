"""GET /digest of real nodes: equal at one version and at one index, on all of them, while votes come."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from quorate.processes.node import NodeProcess
from quorate.vote import Vote
from tests.support.cluster import Cluster

AHEAD = 40


def test_all_nodes_tell_the_same_of_one_version_and_one_index(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
        version = client.vote(Vote("happy")).version + AHEAD
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(digest, node, f"?version={version}&wait=20s") for node in cluster.nodes]
            while not all(done.done() for done in asked):
                client.vote(Vote("sad"))
            told = [done.result(20) for done in asked]
        assert {version} == {each["version"] for each in told}
        assert 1 == len({(each["digest"], each["chain"]) for each in told}), told
        index = digest(cluster.leader(), "")["log"]["index"]
        logs = [digest(node, f"?index={index}&wait=20s")["log"] for node in cluster.nodes]
        assert [logs[0]] * 3 == logs


def digest(node: NodeProcess, query: str) -> Any:
    status, body, _ = node.ask("GET", f"/digest{query}", timeout_s=30)
    assert 200 == status, body
    return json.loads(body)
