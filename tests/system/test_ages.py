"""`age_ms` of real nodes: no answer is older than it says."""

from __future__ import annotations

import time
from pathlib import Path

from quorate.processes.node import NodeProcess
from quorate.words import AGE_UNKNOWN_MS
from tests.support.cluster import Cluster

LOCAL = "/polls/mood/results?level=none"


def test_an_answer_is_not_older_than_it_says(tmp_path: Path) -> None:
    """When the other two nodes stand still, this node cannot know what they have counted since."""
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        for asked in (cluster.leader(), cluster.followers()[0]):
            cluster.wait_for("a bound is known", lambda: asked.get(LOCAL)["age_ms"] < 1_000)  # noqa: B023
            others = [node for node in cluster.nodes if node is not asked]
            for node in others:
                node.pause()
            paused_at_s = time.monotonic()
            try:
                cluster.wait_for("two seconds have passed", lambda: _age_s_since(asked, paused_at_s) > 2)  # noqa: B023
            finally:
                for node in others:
                    node.resume()
            cluster.wait_ready()
            cluster.wait_for("it is up to date again", lambda: asked.get(LOCAL)["age_ms"] < 1_000)  # noqa: B023


def _age_s_since(node: NodeProcess, paused_at_s: float) -> float:
    """How old the node says its answer is. This must be no less than the time since the others stand still."""
    at_least_s = time.monotonic() - paused_at_s
    age_ms = node.get(LOCAL)["age_ms"]
    assert at_least_s * 1000 <= age_ms < AGE_UNKNOWN_MS
    return float(age_ms) / 1000
