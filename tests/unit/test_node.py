"""What the wiring of a node must not get wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from quorate.config import Config, load
from quorate.errors import ConfigError
from quorate.node import Node


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
        "HTTP",
        "the replica",
        "the submitter",
        "the age of reads",
        "timed closing",
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
