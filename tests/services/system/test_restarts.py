"""Whatever part of a deployment is killed with -9 while votes flow, and comes back: totals in MongoDB become exact."""

from __future__ import annotations

import pytest

from tests.services.system.deployment import Deployment
from tests.services.system.finding import entry_of
from tests.support.waiting import wait_for

SOME = 500  # votes published while a part is away, and after it came back

pytestmark = pytest.mark.timeout(240)


def test_votes_reach_mongodb_once_however_often_they_are_published(deployment: Deployment) -> None:
    file = deployment.publish(SOME)
    deployment.assert_exact()
    with deployment.publishing_again(file, both=True):
        deployment.publish(SOME)
    deployment.assert_exact()
    document = deployment.mongo.document("mood")
    assert document is not None
    assert 2 * SOME == document["total"]


def test_a_follower(deployment: Deployment) -> None:
    victim = deployment.cluster.followers()[0]
    with deployment.flowing():
        victim.kill()
    deployment.publish(SOME)
    victim.start()
    deployment.publish(SOME)
    deployment.assert_exact()


def test_the_leader(deployment: Deployment) -> None:
    victim = deployment.cluster.leader()
    with deployment.flowing():
        victim.kill()
    deployment.publish(SOME)
    deployment.cluster.leader(other_than=victim)
    victim.start()
    deployment.publish(SOME)
    deployment.assert_exact()


def test_one_nsqd(deployment: Deployment) -> None:
    """Even with its durable flags it loses what was on its way: so every vote is published to both."""
    victim, _ = deployment.nsqds
    with deployment.flowing(both=True):
        victim.kill()
    deployment.publish(SOME, both=True)
    victim.start()
    deployment.publish(SOME, both=True)
    deployment.assert_exact()


def test_nsqlookupd(deployment: Deployment) -> None:
    with deployment.flowing():
        deployment.lookupd.kill()
    deployment.publish(SOME)
    deployment.assert_exact()
    restarted = deployment.cluster.followers()[0]
    restarted.kill()  # it can only find its nsqds again by nsqlookupd
    restarted.start()
    deployment.lookupd.start()
    deployment.wait_subscribed()
    deployment.publish(SOME)
    deployment.assert_exact()


def test_consul(deployment: Deployment) -> None:
    with deployment.flowing():
        deployment.agent.kill()
    deployment.publish(SOME)
    deployment.assert_exact()
    deployment.agent.start()
    deployment.publish(SOME)
    deployment.assert_exact()
    wait_for(
        "all nodes stand there again",
        lambda: all(entry_of(deployment.agent, node) for node in deployment.cluster.nodes),
        seen=deployment.seen,
    )


@pytest.mark.parametrize("processes", [("ferretdb", "mongod"), ("postgres",)], ids=["its-door", "its-store"])
def test_mongodb(deployment: Deployment, processes: tuple[str, ...]) -> None:
    with deployment.flowing():
        deployment.mongo.kill(*processes)
    deployment.publish(SOME)
    wait_for("counting went on", deployment.is_exact, deadline_s=60, seen=deployment.seen)
    leader = deployment.cluster.leader()
    wait_for(
        "the leader says so",
        lambda: "MongoDB" in (leader.get("/status")["flush"]["last_error"] or ""),
        seen=deployment.seen,
    )
    assert (503, 200) == (leader.ask("GET", "/readyz?sync")[0], leader.ask("GET", "/readyz")[0])
    deployment.mongo.start()
    deployment.assert_exact()
    deployment.publish(SOME)
    deployment.assert_exact()
    wait_for("the leader is in step", lambda: leader.ask("GET", "/readyz?sync")[0] == 200, seen=deployment.seen)
