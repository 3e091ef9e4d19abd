"""Three Redis nodes with Sentinel: one primary and two replicas, each with a sentinel beside it on its machine.

A node is both processes: they die, stand still and are cut off together. All data is synced before the answer
(`appendfsync always`). Sentinel declares a primary dead after one second, as etcd does by default, instead of thirty.

Each node is known to the others by its relays, one before its Redis and one before its sentinel. It dials from an
address of its own of 127.0.0.0/8, so the relay knows who dials; whoever dials from 127.0.0.1 is a client.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

from bench.elsewhere.other_cluster import OtherCluster
from quorate.chaos.proxies.links import Links
from quorate.processes.ports import free_ports
from quorate.processes.process import STOP_S, Process
from quorate.processes.waiting import wait_for

HOST = "127.0.0.1"
SERVICE = "votes"
QUORUM = 2
DOWN_AFTER_MS, FAILOVER_MS = 1_000, 10_000
WHOLE_S = 90.0
ASK_S = 1.0

REDIS = """\
bind 127.0.0.1
bind-source-addr {source}
port {port}
dir {folder}
protected-mode no
appendonly yes
appendfsync always
repl-diskless-sync-delay 0
replica-announce-ip 127.0.0.1
replica-announce-port {relay}
{more}
"""
SENTINEL = """\
bind 127.0.0.1
bind-source-addr {source}
port {port}
dir {folder}
protected-mode no
sentinel announce-ip 127.0.0.1
sentinel announce-port {relay}
sentinel monitor {service} 127.0.0.1 {primary} {quorum}
sentinel down-after-milliseconds {service} {down}
sentinel failover-timeout {service} {failover}
"""


class RedisNode:
    """Redis and its sentinel: what a machine of such a cluster runs."""

    def __init__(self, id: str, folder: Path, port: int, sentinel_port: int) -> None:
        self.id, self.folder, self.port, self.sentinel_port = id, folder, port, sentinel_port
        self.redis = Process(id, ["redis-server", str(folder / "redis.conf")], folder / "redis.log")
        self.sentinel = Process(
            f"{id}'s sentinel",
            ["redis-server", str(folder / "sentinel.conf"), "--sentinel"],
            folder / "sentinel.log",
        )

    @property
    def both(self) -> tuple[Process, Process]:
        return self.redis, self.sentinel

    @property
    def running(self) -> bool:
        return all(process.running for process in self.both)

    def start(self) -> None:
        for process in self.both:
            if not process.running:
                process.start()

    def is_ready(self) -> bool:
        return self.running and bool(self.info("replication"))

    def signal(self, number: int) -> None:
        for process in self.both:
            process.signal(number)

    def ended(self, deadline_s: float = STOP_S) -> int:
        self.sentinel.ended(deadline_s)
        return self.redis.ended(deadline_s)

    def kill(self) -> None:
        for process in self.both:
            process.kill()

    def stop(self, deadline_s: float = STOP_S) -> int:
        self.sentinel.stop(deadline_s)
        return self.redis.stop(deadline_s)

    def pause(self) -> None:
        for process in self.both:
            process.pause()

    def resume(self) -> None:
        for process in self.both:
            process.resume()

    def close(self) -> None:
        for process in self.both:
            process.close()

    def tail(self) -> str:
        return "\n".join(process.tail() for process in self.both)

    def info(self, section: str) -> dict[str, str]:
        """Empty if it does not answer."""
        return fields(inline(self.port, f"INFO {section}"))

    def primary_port(self) -> int:
        """Of the primary, as this sentinel says; 0 if it does not answer."""
        lines = inline(self.sentinel_port, f"SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}").splitlines()
        return int(lines[-1]) if len(lines) == 5 and lines[-1].isdigit() else 0


class RedisCluster(OtherCluster[RedisNode]):
    """`more`: lines for each Redis' settings."""

    def __init__(self, folder: Path, size: int = 3, *, seed: int = 0, more: str = "") -> None:
        super().__init__()
        names = [f"n{number}" for number in range(1, size + 1)]
        ports = free_ports(2 * size)
        self._sources = {f"127.0.0.{10 + number}": name for number, name in enumerate(names, 1)}
        self._more = more
        self.links = Links(dict(zip(names, ports[:size], strict=True)), seed=seed, read_dialler=self._read_dialler)
        self.nodes = [
            RedisNode(name, folder / name, port, sentinel_port)
            for name, port, sentinel_port in zip(names, ports[:size], ports[size:], strict=True)
        ]

    def _start(self) -> None:
        self._configure()
        self.start_again(self.nodes)
        self._wait_whole()

    @property
    def direct(self) -> Mapping[int, int]:
        """The relay's port of each Redis -> its own, to which clients go."""
        return {self.links.ports[node.id]: node.port for node in self.nodes}

    def leader_now(self) -> RedisNode | None:
        """The primary that most sentinels name."""
        named = [node.primary_port() for node in self.up()]
        for node in self.up():
            if named.count(self.links.ports[node.id]) >= QUORUM:
                return node
        return None

    def _configure(self) -> None:
        """First files. Redis and Sentinel rewrite them when roles change, so that a restart goes on with these."""
        primary = self.links.ports[self.nodes[0].id]
        for source, node in zip(self._sources, self.nodes, strict=True):
            node.folder.mkdir(parents=True)
            relay, own = self.links.ports[node.id], {"source": source, "folder": node.folder}
            more = self._more if node is self.nodes[0] else f"{self._more}\nreplicaof 127.0.0.1 {primary}"
            text = REDIS.format(port=node.port, relay=relay, more=more, **own)
            (node.folder / "redis.conf").write_text(text)
            text = SENTINEL.format(
                port=node.sentinel_port,
                relay=self.links.also(node.id, node.sentinel_port),
                service=SERVICE,
                primary=primary,
                quorum=QUORUM,
                down=DOWN_AFTER_MS,
                failover=FAILOVER_MS,
                **own,
            )
            (node.folder / "sentinel.conf").write_text(text)

    def _wait_whole(self) -> None:
        wait_for(
            "Redis has one primary and all replicas", self._is_whole, deadline_s=WHOLE_S, every_s=0.2, seen=self._seen
        )

    def _is_whole(self) -> bool:
        """All sentinels name one primary and know each other, and it is the only one. Replicas may follow replicas."""
        self.start_again(self.nodes)
        named = {node.primary_port() for node in self.nodes}
        if len(named) != 1 or named == {0}:
            return False
        told = [node.info("replication") for node in self.nodes]
        primaries = [node for node, each in zip(self.nodes, told, strict=True) if each.get("role") == "master"]
        links = [each.get("master_link_status") for each in told].count("up")
        known = [self._known(node, kind) for node in self.nodes for kind in ("SENTINELS", "REPLICAS")]
        return (
            [self.links.ports[node.id] for node in primaries] == list(named)
            and links == len(self.nodes) - 1
            and set(known) == {len(self.nodes) - 1}
        )

    def _known(self, node: RedisNode, kind: str) -> int:
        """How many other sentinels, or replicas, this sentinel knows. Without them it replaces no primary."""
        head = inline(node.sentinel_port, f"SENTINEL {kind} {SERVICE}").partition("\r\n")[0].removeprefix("*")
        return int(head) if head.isdigit() else 0

    def _seen(self) -> str:
        told = [f"{node.id}: sentinel names {node.primary_port()}, {node.info('replication')}" for node in self.nodes]
        return "\n".join([f"relays {dict(self.links.ports)}", *told, *(node.tail() for node in self.nodes)])

    async def _read_dialler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bytes]:
        return self._sources.get(writer.get_extra_info("peername")[0], ""), b""


def inline(port: int, command: str) -> str:
    """The answer to one command, up to a pause. Empty if there is none."""
    found = b""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=ASK_S) as connection:
        connection.sendall(command.encode() + b"\r\nPING\r\n")
        while not found.endswith(b"+PONG\r\n"):
            if not (piece := connection.recv(65_536)):
                return ""
            found += piece
        return found.removesuffix(b"+PONG\r\n").decode(errors="replace")
    return ""


def fields(info: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in info.splitlines())
    return {name: value for name, colon, value in pairs if colon}
