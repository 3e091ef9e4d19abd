"""Measures the memory of protected ids: of the process, and by its own account, for a million votes with ids."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import Any

import msgspec

from bench.workloads import BULK, bulk_ids
from quorate.processes.cluster import FreshCluster


class Grown(msgspec.Struct):
    ids: int
    resident_bytes: dict[str, int]  # by node; how much it grew, including the log in memory
    dedup_bytes: dict[str, int]  # by node; the size of its table, as /status shows it

    def lines(self) -> list[str]:
        return [
            f"{self.ids:,} ids more, in MB a million of them:",
            "  the table, as /status has it: "
            + ", ".join(f"{n} {b / self.ids:.1f}" for n, b in self.dedup_bytes.items()),
            "  the whole process: " + ", ".join(f"{n} {b / self.ids:.1f}" for n, b in self.resident_bytes.items()),
        ]


def of_ids(cluster: FreshCluster, ids: int) -> Grown:
    with cluster.client() as client:
        client.create_poll("bench", ["happy", "sad"])
    leader = cluster.leader()
    send(leader.port, 20, first=1)  # what the first requests allocate is not caused by ids
    resident = {node.id: node.memory_bytes() for node in cluster.nodes}
    table = {node.id: dedup_bytes(node.get("/status")) for node in cluster.nodes}
    send(leader.port, ids // BULK, first=10**6)
    cluster.wait_for("all nodes agree", lambda: cluster.results("bench"))
    return Grown(
        ids=ids // BULK * BULK,
        resident_bytes={node.id: node.memory_bytes() - resident[node.id] for node in cluster.nodes},
        dedup_bytes={node.id: dedup_bytes(node.get("/status")) - table[node.id] for node in cluster.nodes},
    )


def dedup_bytes(status: dict[str, Any]) -> int:
    return int(status["state"]["dedup"]["memory_bytes"])


def send(port: int, requests: int, first: int) -> None:
    host = f"127.0.0.1:{port}"
    make = bulk_ids(host)
    with closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        for number in range(first, first + requests):
            body = make(number).partition(b"\r\n\r\n")[2]
            connection.request("POST", "/votes", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
