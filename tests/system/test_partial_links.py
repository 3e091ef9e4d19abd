"""Links that are cut between nodes that are well: a node that the leader does not reach serves all the same."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate.client.http import JsonClient
from quorate.processes.node import NodeProcess
from tests.support.cluster import Cluster
from tests.support.cut_cluster import CutCluster
from tests.support.verdict import assert_exact
from tests.system import faults

LEVELS = ("weak", "linearizable")


def cast(node: NodeProcess, id: str, poll: str = "mood") -> tuple[int, dict[str, Any]]:
    """What a voter is told, long before the cut ends."""
    vote = json.dumps({"option": "happy", "id": id, "poll": poll}).encode()
    status, body, headers = node.ask("POST", "/votes", vote, timeout_s=20)
    return status, {**json.loads(body), "leader": headers.get("x-quorate-leader")}


def leader_via(node: NodeProcess) -> str | None:
    via: str | None = node.get("/status")["raft"]["leader_via"]
    return via


def readiness(node: NodeProcess) -> tuple[int, str]:
    status, body, _ = node.ask("GET", "/readyz?verbose")
    return status, body.decode()


def relays_are_allowed(nodes: Iterable[NodeProcess]) -> bool:
    return all(node.get("/status")["raft"]["feature_level"] >= 1 for node in nodes)


def wait_until_relayed(cluster: CutCluster, node: NodeProcess, over: list[NodeProcess]) -> None:
    cluster.wait_for(f"{node.id} finds a way", lambda: leader_via(node) in [each.id for each in over])


def test_a_node_behind_a_bridge_takes_votes_reads_and_operators(tmp_path: Path) -> None:
    with CutCluster(tmp_path, 3) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        leader = cluster.leader()
        between, cut_off = cluster.followers()
        cluster.wait_for("relays are allowed", lambda: relays_are_allowed(cluster.nodes))
        cluster.cut([leader], [cut_off])
        wait_until_relayed(cluster, cut_off, [between])

        for i in range(10):
            assert (200, leader.id) == (cast(cut_off, f"x{i}")[0], cast(leader, f"y{i}")[1]["leader"])
        assert 1 == cast(cut_off, "y0")[1]["duplicates"]
        for level in LEVELS:
            assert {"happy": 20, "sad": 0} == cut_off.get(f"/polls/mood/results?level={level}")["results"]
            assert ["mood"] == [poll["id"] for poll in cut_off.get(f"/polls?level={level}")["polls"]]
        with JsonClient([cut_off.url], timeout_s=20) as client:
            client.create_poll("late", ["on time", "too late"])
        assert {"on time": 0, "too late": 0} == cut_off.get("/polls/late/results")["results"]
        assert leader.id == cut_off.get("/leader")["id"]

        only = f"[-] leader {leader.id} is reached over {between.id} only"
        shown = cluster.wait_for("it is not ready, and says why", lambda: only in readiness(cut_off)[1])
        assert 503 == readiness(cut_off)[0], shown
        cluster.wait_ready([leader, between])

        cut_off.kill()  # it never met the leader since it started
        cut_off.start()
        cluster.wait_for("it has started", partial(cut_off.get, "/status"))
        wait_until_relayed(cluster, cut_off, [between])
        assert (leader.id, leader.url) == tuple(cut_off.get("/leader")[name] for name in ("id", "http"))
        cut_off.ask("POST", "/leader/transfer", b"", timeout_s=20)
        cluster.wait_for("leadership is handed over", lambda: between.leads() or cut_off.leads())
        assert 200 == cast(cut_off, "to the next")[0]
        cluster.links.heal()
        cluster.wait_ready()
        shown_by_all = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert {"happy": 21, "sad": 0} == shown_by_all["results"]


def test_a_relay_that_is_killed_is_replaced_by_another_one(tmp_path: Path) -> None:
    with CutCluster(tmp_path, 5) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        leader = cluster.leader()
        *others, cut_off = cluster.followers()
        cluster.wait_for("relays are allowed", lambda: relays_are_allowed(cluster.nodes))
        cluster.cut([leader], [cut_off])
        wait_until_relayed(cluster, cut_off, others)
        via = leader_via(cut_off)
        assert via is not None
        assert 200 == cast(cut_off, "x")[0]
        cluster[via].kill()
        wait_until_relayed(cluster, cut_off, [node for node in others if node.id != via])
        told = cluster.wait_for("a vote counts", partial(counted, cut_off, "y"))
        assert 1 == told["applied"] + told["duplicates"]
        cluster[via].start()
        cluster.links.heal()
        cluster.wait_ready()
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert {"happy": 2, "sad": 0} == shown["results"]


def counted(node: NodeProcess, id: str, poll: str = "mood") -> dict[str, Any] | None:
    status, told = cast(node, id, poll)
    return told if status == 200 else None


def cut_one_link(cluster: Cluster) -> None:
    """Cut a follower from the leader. It counts votes over the third node, directly when the cut moves to that one, and
    when that one leads in the end."""
    assert isinstance(cluster, CutCluster)
    leader = cluster.leader()
    between, cut_off = cluster.followers()
    at_s = time.monotonic()
    cluster.cut([leader], [cut_off])
    wait_until_relayed(cluster, cut_off, [between])
    cluster.wait_for("it counts", partial(counted, cut_off, f"while cut at {at_s}", "beside"))
    cluster.cut([between], [cut_off])
    cluster.wait_for("it hears the leader", lambda: leader_via(cut_off) is None)
    cluster.wait_for("it counts", partial(counted, cut_off, f"while the relay is cut at {at_s}", "beside"))
    leader.ask("POST", "/leader/transfer", b"", timeout_s=20)
    cluster.leader(other_than=leader)
    cluster.links.heal()


@pytest.mark.timeout(300)
def test_votes_are_counted_once_while_links_are_cut_and_leadership_moves(tmp_path: Path) -> None:
    with CutCluster(tmp_path, 3) as cluster, cluster.client() as client:
        client.create_poll("mood", faults.OPTIONS)
        client.create_poll("beside", ["happy", "sad"])
        cluster.wait_for("relays are allowed", lambda: relays_are_allowed(cluster.nodes))
        history = faults.vote_through(cluster, cut_one_link, count=6_000, times=3, seed=4)
        assert_exact(cluster, "mood", history)
