"""What Consul says of a running cluster, and that the cluster does not care what becomes of Consul."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.vote import Vote
from tests.services.consul_agent import Agent
from tests.services.system.finding import command, finding_cluster, leaders_in
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

TAG_S = 2.0  # what is promised for the leader's tag

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def cluster(agent: Agent, tmp_path: Path) -> Iterator[Cluster]:
    with finding_cluster(agent, tmp_path) as cluster, cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
        yield cluster


def passing(agent: Agent) -> int:
    return len(agent.call("GET", "/v1/health/service/quorate?passing"))


def wait_until_all_pass(agent: Agent) -> None:
    def checks() -> str:
        rows = agent.call("GET", "/v1/health/service/quorate")
        return "\n".join(str(check) for row in rows for check in row["Checks"])

    wait_for("Consul finds all nodes well", lambda: passing(agent) == 3, deadline_s=60, seen=checks)


def test_the_tag_moves_to_the_new_leader(agent: Agent, cluster: Cluster) -> None:
    wait_until_all_pass(agent)
    victim = cluster.leader()
    wait_for("the leader has it", lambda: leaders_in(agent) == {victim.id}, deadline_s=TAG_S)
    victim.kill()
    successor = cluster.leader(other_than=victim)
    wait_for("so has its successor", lambda: successor.id in leaders_in(agent), deadline_s=TAG_S)
    wait_for("and it alone, once the check has failed", lambda: leaders_in(agent) == {successor.id})
    victim.start()
    cluster.wait_ready([victim])
    assert 0 == successor.stop()
    third = cluster.leader(other_than=successor)
    wait_for("so has the next one", lambda: leaders_in(agent) == {third.id}, deadline_s=TAG_S)


def test_counting_goes_on_while_consul_hangs_and_while_it_is_away(agent: Agent, cluster: Cluster) -> None:
    agent.signal(signal.SIGSTOP)
    leader = cluster.leader()
    wait_for("the node says so", lambda: "no answer in time" in leader.get("/status")["consul"]["detail"])
    with cluster.client(timeout_s=5) as client:
        for n in range(50):
            client.vote(Vote("happy", id=f"hung-{n}"))
        agent.signal(signal.SIGCONT)
        agent.kill()
        wait_for("and this", lambda: "no connection" in leader.get("/status")["consul"]["detail"])
        leader.kill()
        cluster.leader(other_than=leader)
        for n in range(50):
            client.vote(Vote("sad", id=f"away-{n}"))
        leader.start()
    shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
    assert {"happy": 50, "sad": 50} == shown["results"]
    agent.start()
    wait_until_all_pass(agent)


def test_commands_find_the_nodes_there(agent: Agent, cluster: Cluster) -> None:
    wait_until_all_pass(agent)
    voted = command("vote", "happy", "--id", "u1", "--consul", agent.address)
    assert (0, True) == (voted.returncode, "counted" in voted.stdout), voted
    leader = command("leader", QUORATE_CONSUL=f"http://{agent.address}")
    assert leader.stdout.startswith(f"{cluster.leader().id} leads since term "), leader
    for node in cluster.nodes:
        node.stop()
    wait_for("they have left", lambda: passing(agent) == 0)
    nobody = command("leader", "--consul", agent.address)
    assert (3, True) == (nobody.returncode, "has no node of service quorate whose check passes" in nobody.stderr)
    agent.kill()
    away = command("leader", "--consul", agent.address)
    assert (3, True) == (away.returncode, f"Consul at {agent.address}: no connection" in away.stderr)
