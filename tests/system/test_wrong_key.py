"""One node has another raft.key than the others: each node says so, in its log and in /readyz?verbose."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.cluster.raft.transport.link_reasons import OTHER_KEY
from quorate.processes.node import NodeProcess
from tests.support.cluster import Cluster

KEY = "27c1a9e7d40b5f68c3ef21da8b947065fb5e08d3c6a192470d9be8f3175ac642"
OTHER = "b947065fb5e08d3c6a192470d9be8f3175ac64227c1a9e7d40b5f68c3ef21da8"


def wait_until_told(cluster: Cluster, node: NodeProcess, ready: int, words: str) -> None:
    def told() -> bool:
        status, body, _ = node.ask("GET", "/readyz?verbose")
        return status == ready and words in body.decode().splitlines()

    cluster.wait_for(f"{node.id} tells: {words}", told)


def lines(node: NodeProcess, words: str) -> list[str]:
    return [line for line in node.output().splitlines() if words in line]


@pytest.mark.timeout(120)
def test_a_wrong_key_is_told_by_both_sides(tmp_path: Path) -> None:
    with Cluster(tmp_path, 3, {"raft.key": KEY}) as cluster:
        one, two, three = cluster.nodes
        three.stop()
        three.settings["raft.key"] = OTHER
        before = len(three.output().splitlines())
        three.start()
        for node in (one, two):
            wait_until_told(cluster, node, 200, f"[+] peers n3 refused: n3: {OTHER_KEY}")
            assert any(OTHER_KEY in line for line in lines(node, "refused n3 at ")), node.tail()
        wait_until_told(cluster, three, 503, f"[-] peers n1, n2 refused: n1: {OTHER_KEY}; n2: {OTHER_KEY}")
        after = three.output().splitlines()[before:]
        assert [1, 1] == [
            sum(f"refused {id} at " in line and OTHER_KEY in line for line in after) for id in ("n1", "n2")
        ]

        three.stop()
        three.settings["raft.key"] = KEY
        three.start()
        for node in cluster.nodes:
            wait_until_told(cluster, node, 200, "[+] peers 2 of 2 connected")
