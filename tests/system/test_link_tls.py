"""Real nodes go over from a shared key to certificates under votes; then wrong certificates are refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quorate.processes.node import NodeProcess
from quorate.vote import Vote
from tests.support.certificates import DAY, Authority
from tests.support.cluster import Cluster
from tests.system.old_version import client_of
from tests.system.test_wrong_key import KEY, lines, wait_until_told

CONNECTED = "[+] peers 2 of 2 connected"
EXPIRED_TOLD = "it says that the certificate of this node has expired"


def certificate(authority: Authority, name: str, folder: Path, **issue: Any) -> dict[str, str]:
    cert, key = authority.issue(name, [name], **issue)
    return {"raft.tls_cert": str(cert), "raft.tls_key": str(key), "raft.tls_ca": str(folder / "ours-ca.pem")}


@pytest.mark.timeout(180)
def test_from_a_key_to_certificates_without_a_stop(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority = Authority(folder, "ours")
    with Cluster(tmp_path, 3, {"raft.key": KEY}) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        cast = 0
        for way in ("both", "certificates alone"):
            for node in cluster.nodes:
                node.stop()
                if way == "both":
                    node.settings.update(certificate(authority, node.id, folder))
                else:
                    del node.settings["raft.key"]
                node.start()
                node.wait_ready()
                wait_until_told(cluster, node, 200, CONNECTED)
                cast += votes(cluster, node, cast)
        assert 300 == cast == cluster.wait_for("all agree", lambda: cluster.results("mood"))["results"]["happy"]

        three = cluster.nodes[2]
        bad = {
            "its certificate has expired": (authority, "n3", -DAY),
            "it calls itself n3, and its certificate is for n7": (authority, "n7", DAY),
            "its certificate is not of this node's raft.tls_ca": (Authority(folder, "other"), "n3", DAY),
        }
        for words, (signs, name, lasts) in bad.items():
            three.stop()
            three.settings.update(certificate(signs, name, folder, lasts=lasts))
            three.start()
            wait_until_said(cluster, cluster.nodes[:2], words)
            status, _, _ = three.ask("GET", "/readyz")
            assert 503 == status
            if words == "its certificate has expired":
                cluster.wait_for("it is told itself", lambda: any(lines(three, EXPIRED_TOLD)))
        assert "[+] link certificate good until " in cluster.nodes[0].ask("GET", "/readyz?verbose")[1].decode()
        three.stop()
        three.settings.update(certificate(authority, "n3", folder))
        three.start()
        three.wait_ready()
        for node in cluster.nodes:
            wait_until_told(cluster, node, 200, CONNECTED)


def wait_until_said(cluster: Cluster, nodes: list[NodeProcess], words: str) -> None:
    cluster.wait_for(f"one says: {words}", lambda: any(lines(node, words) for node in nodes))


def votes(cluster: Cluster, node: NodeProcess, cast: int) -> int:
    with client_of(node) as client:
        return client.cast([Vote("happy", id=f"v{cast + i}") for i in range(50)]).applied
