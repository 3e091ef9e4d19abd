"""Three real nodes take votes from NSQ while processes are killed. The tally is exact on every node and in the sink."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services.nsq.servers import DURABLE, Server, Servers
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

MESSAGES = 12_000  # a busy machine looks seldom, and there must be some left when the fault comes
FLAGS = {"msg_timeout": "2s", "broadcast_address": "127.0.0.1"}  # a killed node's messages come again after that

pytestmark = pytest.mark.timeout(180)


def clusters(servers: Servers, folder: Path, lookupd: Server, **settings: object) -> Cluster:
    return Cluster(
        folder / "nodes",
        settings={"nsq.lookupd": [lookupd.http], "nsq.lookupd_poll_s": 1, "nsq.max_in_flight": 50, **settings},
    )


class Draining:
    """An nsqlookupd, an nsqd with waiting messages, and a cluster that takes them."""

    def __init__(self, cluster: Cluster, lookupd: Server, nsqd: Server) -> None:
        self.cluster, self.lookupd, self.nsqd = cluster, lookupd, nsqd

    def counted(self) -> int:
        shown = [node.get("/polls/mood/results?level=none") for node in self.cluster.nodes]
        return max((s["total"] for s in shown if s), default=0)

    def assert_in_time(self) -> None:
        assert self.nsqd.unfinished("votes", "counter") > 0, "the fault came too late to prove anything"

    def reach(self, least: int) -> None:
        self.cluster.wait_for(f"{least} votes are counted", lambda: self.counted() >= least, deadline_s=60)

    def assert_exact(self, tally: dict[str, int]) -> None:
        def is_exact() -> bool:
            shown = self.cluster.results("mood")
            return shown is not None and shown["results"] == tally and self.cluster.in_sqlite("mood") == tally

        self.cluster.wait_for("all is finished", lambda: self.nsqd.unfinished("votes", "counter") == 0, deadline_s=60)
        wait_for("the tally is exact on all nodes and in the sink", is_exact, deadline_s=30, seen=self.seen)

    def seen(self) -> str:
        return f"{self.cluster.results('mood')}\n{self.cluster.in_sqlite('mood')}\n{self.cluster.seen()}"


@contextmanager
def begun(servers: Servers, folder: Path, **flags: object) -> Iterator[Draining]:
    lookupd = servers.lookupd()
    nsqd = servers.nsqd(**FLAGS, **flags, lookupd_tcp_address=lookupd.tcp)
    with clusters(servers, folder, lookupd) as cluster, cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
        nsqd.post("/topic/create?topic=votes")
        wait_for("all nodes subscribe", lambda: nsqd.channel("votes", "counter")["client_count"] == 3)
        yield Draining(cluster, lookupd, nsqd)


@pytest.fixture
def draining(servers: Servers, tmp_path: Path) -> Iterator[Draining]:
    with begun(servers, tmp_path) as draining:
        yield draining


def publish(*nsqds: Server, ids: bool = False, start: int = 0, count: int = MESSAGES) -> dict[str, int]:
    """Publish single votes to all of `nsqds`, a third of them sad; with ids, every 20th twice. Returns their tally."""
    bodies = []
    for n in range(start, start + count):
        option = "sad" if n % 3 == 0 else "happy"
        body = json.dumps({"option": option, "id": f"v{n}"}).encode() if ids else option.encode()
        bodies += [body] * (2 if ids and n % 20 == 0 else 1)
    for nsqd in nsqds:
        for at in range(0, len(bodies), 1_000):
            nsqd.publish("votes", *bodies[at : at + 1_000])
    sad = sum(n % 3 == 0 for n in range(start, start + count))
    return {"happy": count - sad, "sad": sad}


def test_votes_flow_from_nsqd_to_the_sink(draining: Draining) -> None:
    tally = publish(draining.nsqd, ids=True)
    draining.assert_exact(tally)
    sources = [node.get("/status")["sources"]["nsq"] for node in draining.cluster.nodes]
    assert all(source["messages"] for source in sources), "the nodes share the work"
    assert MESSAGES == sum(source["applied"] for source in sources)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_kill_9_of_a_node(draining: Draining, who: str) -> None:
    """The votes have no ids. Messages that the killed node had counted and not finished come again, as duplicates."""
    victim = draining.cluster.leader() if who == "leader" else draining.cluster.followers()[0]
    tally = publish(draining.nsqd)
    draining.reach(MESSAGES // 10)
    victim.kill()
    draining.assert_in_time()
    draining.reach(MESSAGES // 2)
    victim.start()
    draining.assert_exact(tally)


def test_sigterm_of_a_node_gives_its_messages_back(draining: Draining) -> None:
    leader = draining.cluster.leader()
    tally = publish(draining.nsqd)
    draining.reach(MESSAGES // 10)
    leader.signal(signal.SIGTERM)
    draining.assert_in_time()
    leader.ended()
    draining.reach(MESSAGES // 2)
    leader.start()
    draining.assert_exact(tally)
    assert 0 == draining.nsqd.channel("votes", "counter")["timeout_count"]


def test_kill_9_of_all_nodes_at_once(draining: Draining) -> None:
    tally = publish(draining.nsqd)
    draining.reach(MESSAGES // 10)
    for node in draining.cluster.nodes:
        node.kill()
    draining.assert_in_time()
    draining.cluster.start()
    draining.assert_exact(tally)


def test_kill_9_of_nsqlookupd(draining: Draining) -> None:
    tally = publish(draining.nsqd)
    draining.reach(MESSAGES // 10)
    draining.lookupd.kill()
    draining.assert_in_time()
    draining.reach(MESSAGES // 2)
    draining.lookupd.start()
    draining.assert_exact(tally)


def test_kill_9_of_nsqd(servers: Servers, tmp_path: Path) -> None:
    """The double keeps everything. The real nsqd loses messages in flight, so two of them get all messages."""
    count = 600  # with the durable flags a real nsqd syncs its disk several times for each message
    keeps = {"keep_all": 1} if servers.kind == "double" else {}
    with begun(servers, tmp_path, **DURABLE, **keeps) as draining:
        other = servers.nsqd(**FLAGS, lookupd_tcp_address=draining.lookupd.tcp) if servers.kind == "nsqd" else None
        if other:
            publish(other, ids=True, count=count)
        tally = publish(draining.nsqd, ids=True, count=count)
        draining.nsqd.kill()
        draining.nsqd.start()
        if servers.kind == "double":
            draining.assert_in_time()
        if other:
            wait_for("the other is drained too", lambda: other.unfinished("votes", "counter") == 0, deadline_s=60)
        draining.assert_exact(tally)
