"""What came after 0.1.0: for the tests of clusters with nodes of two versions."""

from __future__ import annotations

import json

from quorate.client.http import JsonClient
from quorate.processes.node import NodeProcess
from quorate.vote import Vote
from tests.support.cluster import Cluster
from tests.system import faults


def polls_cannot_change_yet(node: NodeProcess, old: list[str]) -> None:
    status, answer, _ = node.ask("PATCH", "/polls/mood", b'{"add_options":["late"]}')
    refused = json.loads(answer)
    assert (409, "needs-level", True) == (status, refused["type"], refused["definite"])
    assert [] == [id for id in old if f"{id} runs 0.1.0" not in refused["detail"]]
    assert faults.OPTIONS == node.get("/polls/mood")["options"]


def polls_change_now(cluster: Cluster) -> None:
    """At every node. Each has the poll's new options from its own log."""
    options = list(faults.OPTIONS)
    for node in cluster.nodes:
        options.append(f"added-at-{node.id}")
        with JsonClient([node.url], timeout_s=20) as client:
            assert client.change_poll("mood", add_options=options[-1:])["changed"]
            client.vote(Vote(options[-1], id=options[-1]))
    shown = cluster.wait_for("all nodes agree", lambda: cluster.results("mood"))
    assert options == list(shown["results"])
    assert [1, 1, 1] == list(shown["results"].values())[-3:]


def the_window_is_set(cluster: Cluster, new: list[NodeProcess]) -> None:
    """The old version knows the command, though it cannot propose it and tells nothing of its settings."""
    for window, node in enumerate(new, 500):
        with JsonClient([node.url], timeout_s=20) as client:
            assert window == client.set_setting("votes.dedup_window", window)["value"]
            untold = client.settings()["untold"]
        assert {n.id: "runs 0.1.0, which cannot tell" for n in cluster.nodes if n not in new} == untold
        wait_for_window(cluster, window)


def wait_for_window(cluster: Cluster, window: int) -> None:
    def has_come() -> bool | None:
        return all(window == node.get("/status")["state"]["dedup"]["size"] for node in cluster.nodes) or None

    cluster.wait_for("all nodes have the window", has_come)
