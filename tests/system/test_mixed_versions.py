"""Nodes of the pinned commit and of this commit in one cluster: messages, entries, snapshots and files are understood.

A change that breaks one of these tests also breaks the upgrade of a running cluster, one node after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate import exit_code
from quorate.client.http import JsonClient
from quorate.cluster.entry import FEATURE_LEVEL
from quorate.errors import Conflict
from quorate.processes.node import NodeProcess
from quorate.vote import Tallied, Vote
from tests.support.cluster import Cluster
from tests.support.history import History
from tests.support.verdict import assert_exact
from tests.support.voters import Voters, sends
from tests.system import faults
from tests.system.news import polls_cannot_change_yet, polls_change_now, the_window_is_set
from tests.system.old_version import NEW, SET_UP_S, Version, client_of, cluster_of

LEVELS = ("none", "weak", "linearizable")
VOTES = 6_000
# A poll of 3.5 MB. A leader keeps 8 MiB of log behind its snapshot, and more for the absent: six of these push it on.
BULK_OPTIONS, BULK_POLLS_MAX = [f"{i:05d}{'.' * 225}" for i in range(15_000)], 12

pytestmark = pytest.mark.timeout(SET_UP_S + 60)


def make_leader(cluster: Cluster, node: NodeProcess) -> None:
    """A leader hands over to the node that has most of its log. The third node misses a vote, so this is `node`."""
    for attempt in range(10):
        leader = cluster.leader()
        if leader is node:
            return
        (third,) = (n for n in cluster.nodes if n not in (leader, node))
        third.pause()
        try:
            with client_of(node) as client:
                client.vote(Vote("missed", id=f"for-{node.id}-{attempt}"))
                client.transfer_leadership()
        finally:
            third.resume()
    raise AssertionError(f"{node.id} never became leader\n{cluster.seen()}")


MIXES: dict[str, Callable[[Version], list[Version]]] = {
    "one-old": lambda old: [old, NEW, NEW],
    "one-new": lambda old: [NEW, old, old],
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("leader_id", ["n1", "n2"])
def test_every_node_serves_everything_under_a_leader_of_either_version(
    old: Version, mix: str, leader_id: str, tmp_path: Path
) -> None:
    """If n1 leads, both followers are of the other version; if n2 leads, one follower is."""
    with cluster_of(MIXES[mix](old), tmp_path) as cluster:
        make_leader(cluster, cluster[leader_id])
        expected = cluster[leader_id].get("/polls/mood/results")["results"]
        for node in cluster.nodes:
            with client_of(node) as client:
                votes_count_once(client, node, cluster)
                requests_count_as_a_whole(client, node)
                refusals_are_told(client, node)
            expected["happy"] += 2 + 1 + 2 + 2
        reads_agree(cluster, expected)
        the_level_waits(cluster)
        new = [node for node in cluster.nodes if node.command[0] == str(NEW.python)]
        the_window_is_set(cluster, new)
        operators_are_heard(cluster, cluster[leader_id])
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert expected == shown["results"]
        cluster.wait_for("SQLite follows", lambda: cluster.in_sqlite("mood") == expected or None)


def votes_count_once(client: JsonClient, node: NodeProcess, cluster: Cluster) -> None:
    """Two votes in one request, a third vote in another; then the same three again, through each node."""
    pair = [Vote("happy", id=f"{node.id}-{i}") for i in range(2)]
    single = Vote("happy", id=f"{node.id}-single", poll="mood")
    assert (2, 0) == counted(client.cast(pair))
    assert (1, 0) == counted(client.vote(single))
    for other in cluster.nodes:
        with client_of(other) as again:
            assert (0, 3) == counted(again.cast([*pair, single]))


def requests_count_as_a_whole(client: JsonClient, node: NodeProcess) -> None:
    """By an idempotency key, and in a producer session: a repeated request is known again."""
    votes = [Vote("happy"), Vote("happy")]
    for repeated in (False, True):
        assert (0, 2) if repeated else (2, 0) == counted(client.cast_once(votes, key=f"key-{node.id}"))
    session = client.open_producer(f"producer-{node.id}")
    assert (2, 0) == counted(client.cast_session(session, votes))
    session.sequence -= 1
    assert (0, 2) == counted(client.cast_session(session, votes))


def counted(tallied: Tallied) -> tuple[int, int]:
    return tallied.applied, tallied.duplicates


def refusals_are_told(client: JsonClient, node: NodeProcess) -> None:
    """The leader's reason reaches the client as the same status, whichever versions it passes."""
    closed = f"closed-by-{node.id}"
    assert client.create_poll(closed, ["x", "y"])
    client.set_poll_state(closed, "closed")
    statuses = {}
    for name, vote in {
        "a poll that is not there": {"option": "x", "poll": "nowhere"},
        "an option that is not there": {"option": "nothing", "poll": "mood"},
        "a closed poll": {"option": "x", "poll": closed},
    }.items():
        statuses[name] = node.ask("POST", "/votes", json.dumps(vote).encode())[0]
    assert {"a poll that is not there": 404, "an option that is not there": 404, "a closed poll": 410} == statuses
    assert 404 == node.ask("GET", "/polls/nowhere?level=weak")[0]
    other = {"id": closed, "title": closed, "options": ["x", "z"], "state": "open", "write_ins": False}
    assert 409 == node.ask("POST", "/polls", json.dumps(other).encode())[0]
    assert 409 == node.ask("POST", f"/polls/{closed}/state", b'{"state":"draft"}')[0]


def reads_agree(cluster: Cluster, expected: dict[str, int]) -> None:
    version = max(node.get("/status")["version"] for node in cluster.nodes)
    for node in cluster.nodes:
        with client_of(node) as client:
            for level in LEVELS:
                shown = client.results("mood", level=level, min_version=version)
                assert (level, expected) == (shown["level"], shown["results"])
            assert faults.OPTIONS == client.poll("mood")["options"]
            assert 2 + len(cluster.nodes) == len(client.polls()["polls"])
            members = client.members()
            assert [True] * len(cluster.nodes) == [member["reachable"] for member in members["nodes"]]


def the_level_waits(cluster: Cluster) -> None:
    """While a member is of 0.1.0, the nodes of this version know it, and the cluster's feature level stays 0."""
    new = [node for node in cluster.nodes if node.command[0] == str(NEW.python)]
    told = {node.id: FEATURE_LEVEL if node in new else 0 for node in cluster.nodes}
    for node in new:
        polls_cannot_change_yet(node, [node.id for node in cluster.nodes if node not in new])
        raft = raft_status(node)
        assert (0, told) == (raft["feature_level"], raft["feature_levels"])
        assert told == {member["id"]: member["feature_level"] for member in node.get("/nodes")["nodes"]}


def operators_are_heard(cluster: Cluster, leader: NodeProcess) -> None:
    """Any node forwards what an operator asks: here, a change that is refused, and who leads next."""
    for node in cluster.nodes:
        with client_of(node) as client, pytest.raises(Conflict, match=f"{leader.id} at .* is a member already"):
            client.change_members("add", leader.id, str(leader.place.raft))
    for node in cluster.nodes:
        before = cluster.leader()
        with client_of(node) as client:
            assert before.id != client.transfer_leadership()


@pytest.mark.parametrize("mix", MIXES)
def test_a_member_that_is_removed_by_nodes_of_the_other_version_stops(old: Version, mix: str, tmp_path: Path) -> None:
    """Nodes of 0.1.0 have no exit code for it."""
    with cluster_of(MIXES[mix](old), tmp_path) as cluster:
        leaving, leader, _ = cluster.nodes
        make_leader(cluster, leader)
        with client_of(leader) as client:
            client.change_members("remove", leaving.id)
        cluster.wait_for(f"{leaving.id} stopped", lambda: not leaving.running or None)
        assert "removed from the cluster" in leaving.tail()
        assert (exit_code.REMOVED if mix == "one-new" else exit_code.FAILED) == leaving.exit_status


@pytest.mark.parametrize("mix", MIXES)
def test_a_snapshot_crosses_between_the_versions(old: Version, mix: str, tmp_path: Path) -> None:
    with cluster_of(MIXES[mix](old), tmp_path) as cluster:
        sender, receiver, _ = cluster.nodes
        make_leader(cluster, sender)
        last_index = raft_status(receiver)["last_index"]
        receiver.kill()
        with client_of(sender) as client:
            client.create_poll("bulk-0", BULK_OPTIONS)
            client.cast([Vote(option, id=option[:5]) for option in BULK_OPTIONS[:1_000]])
            polls = 1
            while raft_status(sender)["first_index"] <= last_index + 1:
                assert polls < BULK_POLLS_MAX, f"the log still begins at {raft_status(sender)['first_index']}"
                client.create_poll(f"bulk-{polls}", BULK_OPTIONS)
                polls += 1
        receiver.start()
        cluster.wait_ready([receiver])
        cluster.wait_for("a snapshot arrived", lambda: raft_status(receiver)["snapshots_received"])
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("bulk-0"))
        assert 1_000 == shown["total"]
        for node in (sender, receiver):  # a tally of this size is sent in pieces
            assert shown["results"] == node.get("/polls/bulk-0/results?level=linearizable")["results"]


def raft_status(node: NodeProcess) -> dict[str, Any]:
    return dict(node.get("/status")["raft"])


@pytest.mark.parametrize("mix", MIXES)
def test_votes_are_counted_once_while_leaders_of_both_versions_die(old: Version, mix: str, tmp_path: Path) -> None:
    with cluster_of(MIXES[mix](old), tmp_path) as cluster:

        def kill_odd_one(cluster: Cluster) -> None:
            make_leader(cluster, cluster["n1"])
            faults.kill_leader(cluster)

        history = vote_with(cluster, [kill_odd_one, faults.kill_leader])
        assert_exact(cluster, "mood", history)


def test_nodes_are_upgraded_one_by_one_and_one_goes_back(old: Version, tmp_path: Path) -> None:
    """Each node keeps its data folder, and votes are cast meanwhile: a rolling upgrade, with one step back in it.

    A node may go back while one is of the old version. Then the feature level rises: see the next test.
    """
    with cluster_of([old, old, old], tmp_path) as cluster:
        first, second, third = cluster.nodes
        back = [restart(first, NEW), restart(second, NEW), restart(first, old)]
        steps = [*back, restart(first, NEW), restart(third, NEW), wait_for_level]
        assert_exact(cluster, "mood", vote_with(cluster, steps))
        polls_change_now(cluster)


def test_a_node_that_goes_back_after_the_rise_stops_until_it_is_upgraded_again(old: Version, tmp_path: Path) -> None:
    """It could not read what the others may write from now on. Its data stay as they are."""
    with cluster_of([NEW, NEW, NEW], tmp_path) as cluster:
        wait_for_level(cluster)
        node = cluster.followers()[0]
        assert 0 == node.stop(), node.tail()
        old.put_into(node)
        node.start()
        cluster.wait_for("the old version stops", lambda: not node.running or None)
        assert "unknown kind" in node.tail()
        with cluster.client() as client:
            client.vote(Vote("happy", id="meanwhile"))
        NEW.put_into(node)
        node.start()
        cluster.wait_ready([node])
        shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
        assert 1 == shown["results"]["happy"]


def prints(node: NodeProcess, words: str) -> bool:
    return words in node.output()


def test_an_old_node_is_told_on_both_sides_that_the_cluster_needs_a_newer_one(old: Version, tmp_path: Path) -> None:
    """After the rise, and with an empty disk: so nothing on its disk stops it."""
    with cluster_of([NEW, NEW, NEW], tmp_path) as cluster:
        wait_for_level(cluster)
        node, *others = [*cluster.followers(), cluster.leader()]
        assert 0 == node.stop(), node.tail()
        for left in node.folder.iterdir():
            if left not in (node.config, node.place.log):
                left.unlink()
        old.put_into(node)
        node.start()
        words = f"{node.id} runs 0.1.0 (feature level 0), and this cluster needs 0.2.0 or newer (level 1): run that on"
        for other in others:
            told = f"[+] peers {node.id} refused: {node.id}: {words}"
            cluster.wait_for(f"{other.id} says so", partial(says, other, told))
            assert f"refused {node.id} at 127.0.0.1: {words}" in other.output()
            cluster.wait_for(f"{node.id} says so", partial(prints, node, f"{other.id} refuses this node: {words}"))


def says(node: NodeProcess, words: str) -> bool:
    return words in node.ask("GET", "/readyz?verbose")[1].decode()


def restart(node: NodeProcess, version: Version) -> Callable[[Cluster], None]:
    """A step of an upgrade: stop the node in order, and start it as this version."""

    def do(cluster: Cluster) -> None:
        assert 0 == node.stop(), node.tail()
        version.put_into(node)
        node.start()
        cluster.wait_ready([node])

    return do


def wait_for_level(cluster: Cluster) -> None:
    cluster.wait_for(
        "the feature level rises",
        lambda: all(FEATURE_LEVEL == raft_status(node)["feature_level"] for node in cluster.nodes) or None,
    )


def vote_with(cluster: Cluster, steps: Sequence[Callable[[Cluster], object]]) -> History:
    """Cast votes at all nodes, and do one step after the other meanwhile. Return the votes and their answers."""
    supply = faults.votes(VOTES + len(steps) * faults.VOTES_A_FAULT_MAX)
    history = History(supply)
    voters = Voters(cluster.urls, history, sends(supply, within=VOTES // 2), clients=8, goal=VOTES)
    voters.start()
    for step in steps:
        cluster.wait_whole(lag_max=faults.LAG_MAX)
        step(cluster)
    voters.enough()
    voters.finish()
    history.keep(voters.begun)
    return history
