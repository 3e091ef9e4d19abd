"""Readers that share the options by Consul: one dies, and another goes on from its position, exactly."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.config import Consul
from quorate.errors import Conflict
from quorate.ingest.social.places import SavedPlaces, stem_of
from quorate.ingest.social.shard import Shard
from quorate.ingest.social.shard_lease import ShardLease
from quorate.processes.process import Process
from tests.services.consul_agent import Agent, running_agent
from tests.support.http_node import Node, running
from tests.support.waiting import wait_for

OPTIONS = ["happy", "sad", "angry", "calm", "tired"]
POSTS = 2_000


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("consul")) as agent:
        yield agent


@pytest.fixture
def node() -> Iterator[Node]:
    with running(status=lambda: {"state": {"cluster_id": "c1"}}) as node:
        node.ask("POST", "/polls", {"id": "mood", "title": "?", "options": OPTIONS, "state": "open"})
        yield node


Start = Callable[[str], Process]


@pytest.fixture
def start(agent: Agent, node: Node, tmp_path: Path) -> Iterator[Start]:
    """Readers of one file, each with a folder of its own, as if each had a host of its own."""
    posts = tmp_path / "posts.ndjson"
    with posts.open("w") as opened:
        for number in range(POSTS):
            text = f"so {OPTIONS[number % 5]} and {OPTIONS[(number + 1) % 5]}"
            opened.write(json.dumps({"id": str(number), "text": text, "created_ms": 1 + 5 * number}) + "\n")
    command = [sys.executable, "-m", "quorate", "stream", "replay", str(posts), "--speed=recorded", "--shards=2"]
    command += [f"--node=http://127.0.0.1:{node.port}"]
    started: list[Process] = []

    def make(name: str) -> Process:
        env = {"QUORATE_CONSUL_ADDRESS": agent.address}
        process = Process(name, [*command, f"--state={tmp_path / name}"], tmp_path / f"{name}.txt", env)
        started.append(process)
        process.start()
        return process

    yield make
    for process in started:
        process.close()


def says(process: Process, words: str) -> None:
    wait_for(f"it says {words!r}", lambda: words in process.output(), deadline_s=30, seen=process.tail)


@pytest.mark.timeout(180)
def test_a_reader_that_dies_is_taken_over_from_its_position(start: Start, agent: Agent, node: Node) -> None:
    first = start("first")
    says(first, "holding shard 1/2")
    second = start("second")
    says(second, "holding shard 2/2")
    third = start("third")
    says(third, "2 shards are held by other readers; waiting until one is free")
    own = next(option for option in OPTIONS if Shard(1, 2).has(option))
    wait_for("the first has counted", lambda: node.tally()[own] > 300, seen=first.tail)
    first.kill()
    destroy_sessions(agent, "1-of-2")
    says(third, "holding shard 1/2")
    assert 0 == second.ended(60), second.tail()
    assert 0 == third.ended(60), third.tail()
    assert dict.fromkeys(OPTIONS, 2 * POSTS // 5) == node.tally()
    assert f"{POSTS:,} posts read" in second.output()
    assert f"{POSTS:,} posts read" not in third.output()


def lease(agent: Agent, name: str, shards: int = 1, **settings: Any) -> ShardLease:
    return ShardLease.take(Consul(address=agent.address, timeout_ms=500, **settings), name, shards)


def test_positions_go_from_one_holder_to_the_next(agent: Agent) -> None:
    first = lease(agent, "handed on")
    assert first.load() is None
    first.save(SavedPlaces("handed on", {"": "7"}))
    wait_for("Consul keeps it", lambda: first.kept_at_s)
    first.save(SavedPlaces("handed on", {"": "8"}))
    first.close()
    second = lease(agent, "handed on")
    try:
        assert SavedPlaces("handed on", {"": "8"}) == second.load()
    finally:
        second.close()


def test_an_outage_of_consul_costs_nothing(agent: Agent) -> None:
    held = lease(agent, "outage")
    try:
        agent.kill()
        held.save(SavedPlaces("outage", {"": "9"}))
        wait_for("it is noted", lambda: held.trouble)
        held.check()
        agent.start()
        wait_for("Consul keeps it", lambda: held.kept_at_s)
        assert "" == held.trouble
    finally:
        held.close()


def test_a_session_that_was_lost_is_made_anew_if_nobody_took_the_shard(agent: Agent) -> None:
    held = lease(agent, "expired")
    try:
        destroy_sessions(agent, f"{stem_of('expired')}/1-of-1")
        held.save(SavedPlaces("expired", {"": "10"}))
        wait_for("the new session keeps it", lambda: held.kept_at_s)
        held.check()
    finally:
        held.close()


def test_a_reader_whose_shard_was_taken_over_ends(agent: Agent) -> None:
    frozen = lease(agent, "frozen")
    destroy_sessions(agent, f"{stem_of('frozen')}/1-of-1")
    other = lease(agent, "frozen")
    try:
        frozen.save(SavedPlaces("frozen", {"": "11"}))
        wait_for("it is noted", lambda: frozen.lost)
        with pytest.raises(Conflict, match="another reader has taken shard 1/1 over"):
            frozen.check()
        assert other.load() is None
    finally:
        frozen.close()
        other.close()


def destroy_sessions(agent: Agent, key: str) -> None:
    """As Consul does with those whose time is over. `key` is how the keys that they hold end."""
    for found in agent.call("GET", "/v1/kv/quorate/stream?recurse=true"):
        if "Session" in found and found["Key"].endswith(key):
            agent.call("PUT", f"/v1/session/destroy/{found['Session']}")


@pytest.mark.timeout(90)
def test_a_reader_that_says_nothing_loses_its_shard_by_itself(agent: Agent) -> None:
    """Consul takes up to twice the TTL for it."""
    silent = lease(agent, "silent")
    silent._renewed_s = silent._renewed_s + 3_600  # it is not renewed any more
    other = lease(agent, "silent")
    other.close()
    silent.close()
