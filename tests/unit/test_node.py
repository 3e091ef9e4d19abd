"""What the wiring of a node must not get wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quorate import exit_code
from quorate.cluster.entry import encode_raise
from quorate.cluster.raft.engine.replication import LEVEL, MEMBERS
from quorate.cluster.raft.members import encode, founding
from quorate.cluster.raft.membership.bootstrap import cluster_id_of
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.unsafe_recovery import InlineWriter
from quorate.config import Config, load
from quorate.errors import ConfigError, Removed
from quorate.node import Node
from tests.support.families import needs_ipv6


def config_of(folder: Path) -> Config:
    flags = {"node.id": "n1", "node.data": str(folder), "flush.sink": "none"}
    listen = {"http.listen": "127.0.0.1:0", "raft.listen": "127.0.0.1:0"}
    return load(env={}, flags={**flags, **listen}).config


def test_the_parts_stop_in_the_order_that_clients_need(tmp_path: Path) -> None:
    """Clients get their answers before leadership is handed over, and the last flush still has a replica."""

    async def main() -> list[str]:
        node = Node(config_of(tmp_path))
        names = [part.name for part in node.in_order()]
        await node.replica.stop()
        return names

    assert [
        "the tokens",
        "HTTP",
        "the replica",
        "the submitter",
        "the age of reads",
        "the history",
        "timed closing",
        "the settings",
        "the flush",
        "leadership",
        "HTTP's requests",
        "the search for peers",
    ] == asyncio.run(main())


def test_a_node_that_cannot_listen_leaves_its_folder_unlocked(tmp_path: Path) -> None:
    async def main() -> None:
        taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = taken.sockets[0].getsockname()[1]
        config = config_of(tmp_path)
        refused = msgspec.structs.replace(config, http=msgspec.structs.replace(config.http, listen=f"127.0.0.1:{port}"))
        with pytest.raises(ConfigError, match="cannot serve HTTP"):
            await Node(refused).run()
        taken.close()
        again = Node(config)  # the folder's lock is free
        await again.replica.stop()

    asyncio.run(main())


def test_a_node_whose_own_log_has_its_removal_ends_with_a_code_of_its_own(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path, node_id="n1")
    founders = {"n1": directory.identity.incarnation, "n2": "another disk"}
    formed = founding({"n1": "127.0.0.1:1", "n2": "127.0.0.1:2"}, founders)
    write_log(directory, founders, MEMBERS + encode(formed), MEMBERS + encode(formed.removing("n1")))
    assert exit_code.REMOVED == started(tmp_path)


def test_a_node_whose_log_it_cannot_follow_ends_with_a_code_of_its_own(tmp_path: Path, caplog: Any) -> None:
    """To start it again changes nothing, and "the outcome is unknown" (4) would be said of nothing that was asked."""
    directory = DataDirectory.open(tmp_path, node_id="n1")
    write_log(directory, {"n1": directory.identity.incarnation}, LEVEL + encode_raise(99))
    assert exit_code.HALTED == started(tmp_path)
    assert "n1 stopped itself: the cluster needs a version with feature level 99 or newer" in caplog.text


def test_a_removed_node_ends_at_each_start_also_where_it_reaches_nobody(tmp_path: Path) -> None:
    """A peer told it, so its own log does not have it."""
    directory = DataDirectory.open(tmp_path, node_id="n1")
    founders = {"n1": directory.identity.incarnation, "n2": "another disk"}
    write_log(directory, founders, MEMBERS + encode(founding({"n1": "127.0.0.1:1", "n2": "127.0.0.1:2"}, founders)))

    async def told() -> int:
        node = Node(config_of(tmp_path))
        running = asyncio.create_task(node.run())
        await until(lambda: bool(node.http.listening) and node.replica.status().role != "starting")
        node.replica._halt(Removed("this node was removed from the cluster (says n2)"))
        return await running

    assert exit_code.REMOVED == asyncio.run(told())
    assert exit_code.REMOVED == started(tmp_path)


def write_log(directory: DataDirectory, founders: dict[str, str], *commands: bytes) -> None:
    """Make it a member's disk, with these commands from index 2 on, all committed. Closes the directory."""
    directory.save_identity(cluster_id=cluster_id_of(founders), members=founders)
    journal = Journal.open(directory.files, InlineWriter(), snapshot=None, on_failure=lambda error: None)
    for index, command in enumerate(commands, 2):
        journal.add(command, index, 1)
    journal.flush()
    journal.setRaftCommitIndex(1 + len(commands))
    journal.close()
    directory.close()


def started(data: Path) -> int:
    """Run a node on this folder until it ends by itself; its exit code."""

    async def main() -> int:
        return await asyncio.wait_for(Node(config_of(data)).run(), 20)

    return asyncio.run(main())


@needs_ipv6
def test_a_node_serves_both_families_and_tells_on_which_addresses(tmp_path: Path) -> None:
    flags = {"node.data": str(tmp_path), "flush.sinks": "", "raft.bootstrap": "true", "http.insecure": "true"}
    listen = {"http.listen": "[::]:0", "http.advertise": "http://localhost:1", "raft.listen": "127.0.0.1:0, [::1]:0"}

    async def main() -> None:
        node = Node(load(env={}, flags={**flags, **listen}).config)
        running = asyncio.create_task(node.run())
        await until(lambda: len(node.replica.transport.listening) == 2 or running.done())
        [bound] = node.http.listening
        port = int(bound.rpartition(":")[2])
        for host in ("127.0.0.1", "::1"):
            status, told = await ask(host, port, "/status")
            assert (200, [bound]) == (status, told["listening"]["http"])
            assert ["127.0.0.1", "[::1]"] == [each.rpartition(":")[0] for each in told["listening"]["raft"]]
        node.ask_to_stop()
        assert 0 == await running
        for host in ("127.0.0.1", "::1"):
            with pytest.raises(OSError):  # noqa: PT011 - refused, whatever the system calls it
                await asyncio.open_connection(host, port)

    asyncio.run(main())


def test_the_only_voter_says_at_once_that_nobody_else_can_lead(tmp_path: Path) -> None:
    async def main() -> None:
        flags = {"node.data": str(tmp_path), "flush.sinks": "", "raft.bootstrap": "true"}
        listen = {"http.listen": "127.0.0.1:0", "raft.listen": "127.0.0.1:0"}
        node = Node(load(env={}, flags={**flags, **listen}).config)
        running = asyncio.create_task(node.run())
        await until(lambda: (node.http.listening and node.replica.members()) or running.done())
        port = int(node.http.listening[0].rpartition(":")[2])
        for path, body, words in (
            ("/leader/transfer", "", "n1 leads and is the only voter"),
            ("/members", '{"action":"remove","id":"n1"}', "n1 leads and is the only voter"),
            ("/members", '{"action":"replace","id":"n1"}', "n1 has the disk that the log means"),
        ):
            status, told = await ask("127.0.0.1", port, path, "POST", body)
            assert (409, "conflict") == (status, told["type"])
            assert words in told["detail"]
        node.ask_to_stop()
        assert 0 == await running

    asyncio.run(main())


def test_a_node_is_asked_by_the_names_of_its_settings(tmp_path: Path) -> None:
    flags = {"http.advertise": "http://n1.example:8001", "http.hosts": "votes.example"}
    listen = {"http.listen": "127.0.0.1:0", "raft.listen": "127.0.0.1:0", "flush.sinks": ""}
    config = load(env={}, flags={"node.id": "n1", "node.data": str(tmp_path), **flags, **listen}).config

    async def main() -> None:
        node = Node(config)
        running = asyncio.create_task(node.run())
        await until(lambda: node.http.listening)
        port = int(node.http.listening[0].rpartition(":")[2])
        for host, status in (("n1.example", 200), ("votes.example:80", 200), ("localhost", 200), ("n2.example", 421)):
            assert status == (await ask("127.0.0.1", port, "/version", host=host))[0]
        node.ask_to_stop()
        assert 0 == await running

    asyncio.run(main())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def ask(
    address: str, port: int, path: str, method: str = "GET", body: str = "", *, host: str = "localhost"
) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection(address, port)
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    answer, _, document = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(answer.split()[1]), json.loads(document)
