"""Three etcd nodes that can be killed, paused and cut off. Default settings: data is synced before the answer.

Each node is known to the others by its relay. Who dials there stands in the head of the first request, as
`X-Server-From`. A request without one comes from no certain node (it asks for a version, or whether somebody is there),
so its connection is not kept: the next request on it could be one that a cut must hold.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from bench.elsewhere.other_cluster import OtherCluster
from bench.etcd import command, healthy
from quorate.chaos.proxies.links import Links
from quorate.processes.ports import free_ports
from quorate.processes.process import Process
from quorate.processes.waiting import wait_for

TOKEN = "etcd-cluster"  # etcd's default for --initial-cluster-token
FROM = re.compile(rb"\r\nx-server-from: *([0-9a-f]+)\r\n", re.IGNORECASE)
HEAD_END = b"\r\n\r\n"
ONCE = b"\r\nConnection: close\r\n\r\n"
WHOLE_S = 60.0
ASK_S = 1.0


class EtcdNode(Process):
    def __init__(self, id: str, command: list[str], log: Path, url: str) -> None:
        super().__init__(id, command, log)
        self.id, self.url = id, url

    def is_ready(self) -> bool:
        return self.running and healthy(self.url)


class EtcdCluster(OtherCluster[EtcdNode]):
    def __init__(self, folder: Path, size: int = 3, *, seed: int = 0) -> None:
        super().__init__()
        names = [f"n{number}" for number in range(1, size + 1)]
        ports = free_ports(2 * size)
        self._member_ids: dict[str, str] = {}  # as hexadecimal digits -> our name of it
        self.links = Links(dict(zip(names, ports[size:], strict=True)), seed=seed, read_dialler=self._read_dialler)
        told = {name: f"http://127.0.0.1:{self.links.ports[name]}" for name in names}
        self._member_ids |= {member_id(url): name for name, url in told.items()}
        members = ",".join(f"{name}={url}" for name, url in told.items())
        self.nodes = []
        for name, client, peer in zip(names, ports[:size], ports[size:], strict=True):
            url, listen = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
            arguments = command(name, folder / name, url, listen, members, told[name])
            self.nodes.append(EtcdNode(name, arguments, folder / f"{name}.log", url))

    def _start(self) -> None:
        self.start_again(self.nodes)
        self._wait_whole()
        self._check_member_ids()

    def leader_now(self) -> EtcdNode | None:
        for node in self.up():
            try:
                told = ask(node, "/v3/maintenance/status", timeout_s=ASK_S)
            except (OSError, ValueError):
                continue
            if told.get("leader") == told.get("header", {}).get("member_id") and told.get("leader"):
                return node
        return None

    def _wait_whole(self) -> None:
        for node in self.nodes:
            wait_for(f"etcd {node.id} is healthy", node.is_ready, deadline_s=WHOLE_S, seen=node.tail)

    def _check_member_ids(self) -> None:
        """A release that makes them in another way would make each cut a sham."""
        listed = ask(self.nodes[0], "/v3/cluster/member/list", timeout_s=10)["members"]
        found = {f"{int(member['ID']):x}": member["name"] for member in listed}
        if found != self._member_ids:
            raise RuntimeError(f"the members of etcd are {found}; it was reckoned with {self._member_ids}")

    async def _read_dialler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bytes]:
        head = await reader.readuntil(HEAD_END)
        found = FROM.search(head)
        if found is None:
            return "", head.removesuffix(HEAD_END) + ONCE
        return self._member_ids.get(found[1].decode(), ""), head


def member_id(url: str) -> str:
    """As etcd makes it for a member of a new cluster: from its address and the cluster's token."""
    return f"{int.from_bytes(hashlib.sha1(f'{url}{TOKEN}'.encode()).digest()[:8]):x}"


def ask(node: EtcdNode, path: str, body: bytes = b"{}", *, timeout_s: float) -> dict[str, Any]:
    with urlopen(Request(f"{node.url}{path}", body, method="POST"), timeout=timeout_s) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
