"""Members that have all moved are looked for in Consul, while no leader is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from quorate import joining
from quorate.cluster.discovery import nodes
from quorate.cluster.raft.members import Member
from quorate.cluster.raft.replica import RaftReplica
from quorate.config import load
from quorate.errors import NotReady
from tests.support.waiting import until

LOGGED = {"n1": "old:1", "n2": "old:2"}


class Replica:
    """Its log names two members, and it knows no leader."""

    def __init__(self) -> None:
        self.leader: str | None = None
        self.peers: list[dict[str, str]] = []

    def members(self) -> list[Member]:
        return [Member(id, raft, "i", voter=True) for id, raft in LOGGED.items()]

    def set_initial_peers(self, peers: Mapping[str, str], *, bootstrap: bool) -> None:
        assert not bootstrap
        self.peers.append(dict(peers))


def test_registered_addresses_are_tried_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "LOOK_EVERY_S", 0.01)
    answers: list[Any] = [
        NotReady("Consul is down"),
        LOGGED,
        {"n1": "new:1", "n9": "strange:1"},
        {"n1": "new:1"},
        {"n1": "newer:1", "n2": "new:2"},
    ]
    asked: list[str] = []

    def find(settings: object, cluster: str) -> dict[str, str]:
        asked.append(cluster)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    monkeypatch.setattr(nodes, "find_raft_addresses", find)
    flags = {"consul.address": "127.0.0.1:8500", "raft.bootstrap_expect": 2, "node.id": "n1"}
    config = load(env={}, flags={**flags, "raft.listen": "127.0.0.1:9001", "flush.sinks": ""}).config
    replica = Replica()

    async def main() -> None:
        join = joining.Joining(config, cast(RaftReplica, replica), failed=lambda error: None)
        join.start()
        await until("all answers were tried", lambda: len(asked) > 6)
        replica.leader = "n2"
        await join.stop()

    asyncio.run(main())
    assert [LOGGED, {"n1": "new:1", "n2": "old:2"}, {"n1": "newer:1", "n2": "new:2"}] == replica.peers
    assert {"quorate"} == set(asked)


def test_nobody_is_looked_for_while_there_is_a_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(nodes, "find_raft_addresses", lambda *_: pytest.fail("Consul was asked"))
    config = load(env={}, flags={"consul.address": "127.0.0.1:8500", "flush.sinks": ""}).config
    replica = Replica()
    replica.leader = "n2"

    async def main() -> None:
        join = joining.Joining(config, cast(RaftReplica, replica), failed=lambda error: None)
        join.start()
        for _ in range(20):
            await asyncio.sleep(0.001)
        await join.stop()

    asyncio.run(main())
    assert [LOGGED] == replica.peers
