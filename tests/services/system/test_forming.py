"""Nodes with --bootstrap-expect form ONE cluster through a real Consul, and need it for nothing afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from quorate.cluster.raft.membership.bootstrap import cluster_id_of
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.processes.node import NodeProcess
from quorate.processes.ports import free_ports
from quorate.vote import Vote
from tests.services.consul_agent import Agent
from tests.services.system.finding import entry_of, finding_cluster, newcomer, says
from tests.support.cluster import Cluster
from tests.support.waiting import let_pass

pytestmark = pytest.mark.timeout(180)


def raft(node: NodeProcess) -> dict[str, Any]:
    shown: dict[str, Any] = (node.get("/status") or {"raft": {}})["raft"]
    return shown


def formed_as(cluster: Cluster) -> set[str]:
    return {raft(node)["cluster_id"] for node in cluster.nodes}


def cast(cluster: Cluster, id: str) -> None:
    with cluster.client() as client:
        assert 1 == client.vote(Vote("happy", id=id)).applied


def test_three_that_know_only_consul_form_one_cluster_and_then_need_it_no_more(agent: Agent, tmp_path: Path) -> None:
    cluster = finding_cluster(agent, tmp_path)
    first, second, last = cluster.nodes
    try:
        second.start()
        says(second, "1 of 3 nodes of quorate are here: n2")
        first.start()
        says(second, "2 of 3 nodes of quorate are here: n2")
        last.start()
        cluster.wait_ready()
        (cluster_id,) = formed_as(cluster)
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        cast(cluster, "before")

        agent.kill()
        for node in cluster.nodes:
            node.kill()
            cast(cluster, f"without-{node.id}")
            node.start()
            cluster.wait_ready([node])
        for node in cluster.nodes:
            node.kill()
        cluster.start()
        cast(cluster, "after")
        assert {cluster_id} == formed_as(cluster), "a restarted node keeps its identity"
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert 5 == shown["results"]["happy"]
    finally:
        cluster.close()


def test_nodes_that_all_moved_at_once_find_each_other_where_they_are_registered(agent: Agent, tmp_path: Path) -> None:
    """Their logs have nothing but the old addresses, and no settings have any."""
    cluster = finding_cluster(agent, tmp_path)
    try:
        cluster.start()
        (cluster_id,) = formed_as(cluster)
        for node in cluster.nodes:
            node.kill()
        moved = {}
        for node in cluster.nodes:
            moved[node.id] = node.settings["raft.listen"] = f"127.0.0.1:{free_ports(1)[0]}"
        cluster.start()
        assert {cluster_id} == formed_as(cluster)
        cluster.wait_for("the log has them", lambda: moved == logged(cluster.leader()) or None)
    finally:
        cluster.close()


def logged(node: NodeProcess) -> dict[str, str]:
    return {member["id"]: member["raft"] for member in node.get("/members")["members"]}


def test_nodes_wait_for_a_consul_that_is_not_up_and_stop_when_told_to(agent: Agent, tmp_path: Path) -> None:
    agent.kill()
    with_nobody = finding_cluster(agent, tmp_path, size=2)
    waiting, other = with_nobody.nodes
    try:
        waiting.start()
        says(waiting, f"Consul at {agent.address}: no connection; trying again")
        assert 0 == waiting.stop(), "SIGTERM ends the search"
        waiting.start()
        other.start()
        agent.start()
        with_nobody.wait_ready()
        assert 1 == len(formed_as(with_nobody))
    finally:
        with_nobody.close()


def test_one_that_stops_while_it_waits_is_not_waited_for(agent: Agent, tmp_path: Path) -> None:
    cluster = finding_cluster(agent, tmp_path, size=2)
    one, _ = cluster.nodes
    try:
        one.start()
        says(one, "1 of 2 nodes of quorate are here: n1")
        assert 0 == one.stop()
        assert 404 == requests.get(f"http://{agent.address}/v1/kv/quorate/?keys", timeout=5).status_code
        assert None is entry_of(agent, one)
    finally:
        cluster.close()


def test_a_late_node_says_so_and_joins_only_when_it_is_added(agent: Agent, tmp_path: Path) -> None:
    with finding_cluster(agent, tmp_path, size=2) as cluster:
        late = newcomer(cluster, "n3")
        address = late.settings["raft.listen"]
        late.start()
        says(late, f"n3 is not one of them and waits until `quorate members add n3 {address}` adds it")
        let_pass(1.5, because="a node that joined by itself would have by now")
        assert {"n1", "n2"} == set(raft(cluster.nodes[0])["members"])
        assert None is raft(late)["cluster_id"]
        with cluster.client() as client:
            client.change_members("add", "n3", address)
        cluster.wait_for("n3 is a voter", lambda: raft(late).get("voter") or None)
        agent.kill()
        late.kill()
        late.start()
        cluster.wait_ready([late])
        assert 1 == len(formed_as(cluster))


def test_nodes_that_formed_and_wrote_nothing_yet_find_each_other_again(agent: Agent, tmp_path: Path) -> None:
    """What a power cut right after forming leaves: identities, and logs that name nobody. None may go on alone."""
    cluster = finding_cluster(agent, tmp_path, size=2)
    first, second = cluster.nodes
    try:
        for node in cluster.nodes:
            node.start()
            says(node, "1 of 2 nodes of quorate are here")
            node.stop()
        cluster_id = form_on_disk(cluster)
        members = {node.id: node.settings["raft.listen"] for node in cluster.nodes}
        agent.call("PUT", "/v1/kv/quorate/quorate/members", json={"members": members, "by": "n1"})
        agent.kill()
        first.start()
        says(first, "no connection; trying again")
        let_pass(3, because="a node that took itself for the whole cluster would lead by now")
        assert "leader" != raft(first)["role"]
        agent.start()
        second.start()
        cluster.wait_ready()
        assert {cluster_id} == formed_as(cluster)
    finally:
        cluster.close()


def form_on_disk(cluster: Cluster) -> str:
    directories = [DataDirectory.open(node.folder, node_id=node.id) for node in cluster.nodes]
    members = {d.identity.node_id: d.identity.incarnation for d in directories}
    for directory in directories:
        directory.save_identity(cluster_id=cluster_id_of(members), members=members)
        directory.close()
    return cluster_id_of(members)
