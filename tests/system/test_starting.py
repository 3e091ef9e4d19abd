"""A node that was started again alone: what it cannot know, it does not deny."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from pathlib import Path

from quorate.processes.node import NodeProcess
from tests.support.cluster import Cluster


def test_a_node_that_is_started_alone_denies_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        cluster.wait_for("all nodes have it", lambda: cluster.results("mood"))
        for node in cluster.nodes:
            node.kill()
        alone, *others = cluster.nodes
        alone.start()
        cluster.wait_for("it answers", lambda: _status(alone, "/livez") == 200)
        assert 503 == _status(alone, "/polls/mood/results?level=none&wait=10ms")
        assert 503 == _status(alone, "/polls?level=none&wait=10ms")
        with closing(http.client.HTTPConnection("127.0.0.1", alone.port, timeout=30)) as connection:
            connection.request("GET", "/events?poll=mood", headers={"Accept": "text/event-stream"})
            response = connection.getresponse()
            assert 200 == response.status
            for node in others:
                node.start()
            data = next(line for line in iter(response.readline, b"") if line.startswith(b"data: "))
            assert "mood" == json.loads(data.removeprefix(b"data: "))["id"]
        assert 200 == _status(alone, "/polls/mood/results?level=none")
        assert 404 == _status(alone, "/polls/none/results?level=none")


def _status(node: NodeProcess, path: str) -> int:
    try:
        return node.ask("GET", path)[0]
    except OSError:
        return 0
