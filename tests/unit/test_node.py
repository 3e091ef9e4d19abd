"""What the wiring of a node must not get wrong."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from quorate.config import load
from quorate.http.api import Check
from quorate.node import Node


def a_node(folder: Path) -> Node:
    flags = {"node.id": "n1", "node.data": folder, "http.listen": "127.0.0.1:0", "raft.listen": "127.0.0.1:0"}
    return Node(load(env={}, flags={name: str(value) for name, value in flags.items()} | {"flush.sink": "none"}).config)


def test_consul_is_told_of_the_first_check_that_fails_and_the_loop_looks(tmp_path: Path) -> None:
    looked: list[tuple[str, bool]] = []  # which check, and whether on the loop's thread

    def check(name: str, well: bool, sync: bool = False) -> Check:
        def look() -> tuple[bool, str, str]:
            looked.append((name, threading.current_thread() is threading.main_thread()))
            return well, "words", "more"

        return Check(name, look, sync=sync)

    async def main() -> list[str | None]:
        node = a_node(tmp_path)
        told = []
        for log_is_well in (True, False):
            node.api.checks = [check("leader", True), check("flush", False, sync=True), check("log", log_is_well)]
            told.append(await asyncio.to_thread(node._why_not_ready))
        node.directory.close()
        return told

    assert [None, "log words: more"] == asyncio.run(main())
    assert [("leader", True), ("log", True)] * 2 == looked
