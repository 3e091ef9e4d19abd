"""Partitions whose connections stay open: each side knows soon whom it can believe, and tells its clients."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from quorate.processes.node import NodeProcess
from tests.support.cut_cluster import CutCluster

# Far more than a vote needs in these tests: one that is told by a deadline is told too late.
PATIENT = {"http.timeout_ms": 60_000}


def cast(node: NodeProcess, id: str) -> dict[str, Any]:
    """What a voter is told, with its status."""
    status, body, _ = node.ask("POST", "/votes", json.dumps({"option": "happy", "id": id}).encode(), timeout_s=70)
    return {"status": status, **json.loads(body)}


def readiness(node: NodeProcess) -> tuple[int, str]:
    status, body, _ = node.ask("GET", "/readyz?verbose")
    return status, body.decode()


def is_refused(node: NodeProcess) -> bool:
    return readiness(node)[0] == 503


def test_a_follower_that_is_cut_off_with_the_old_leader_does_not_believe_in_it_any_more(tmp_path: Path) -> None:
    with CutCluster(tmp_path, 5, PATIENT) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        old = cluster.leader()
        follower, *others = cluster.followers()
        cluster.cut([old, follower], others)
        cluster.wait_for("the other side elects", lambda: next((n for n in others if n.leads()), None))
        for node in (old, follower):
            cluster.wait_for(f"{node.id} is not ready", partial(is_refused, node))
            assert "[-] leader none known" in readiness(node)[1]
            told = cast(node, f"to {node.id}")
            assert (503, "no-leader") == (told["status"], told["type"].rpartition("/")[2].rpartition(":")[2]), told
            assert None is node.get("/leader")
        assert 200 == cast(others[0], "to the majority")["status"]
        cluster.links.heal()
        cluster.wait_ready()
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert {"happy": 1, "sad": 0} == shown["results"], "surely not counted was true"


def test_a_vote_that_a_silent_leader_has_is_unknown_as_soon_as_another_node_leads(tmp_path: Path) -> None:
    with CutCluster(tmp_path, 3, PATIENT) as cluster, ThreadPoolExecutor() as voters:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        old = cluster.leader()
        asked, other = cluster.followers()
        cluster.cut([old], [asked, other])
        told = voters.submit(cast, asked, "x").result(70)
        assert 504 == told["status"], told
        assert "leads now" in told["detail"], "not told by a connection that broke, or by a deadline"
        assert 200 == cast(asked, "x")["status"], "the next leader takes it"
        cluster.links.heal()
        cluster.wait_ready()
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert {"happy": 1, "sad": 0} == shown["results"], "counted once"
