"""`quorate stream` into NSQ: each vote is there, as plain JSON, also when nsqd is killed on the way."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quorate.processes.process import Process
from tests.services.nsq.raw import RawClient
from tests.services.nsq.servers import DURABLE, Server, Servers
from tests.support.http_node import MOOD, Node, running
from tests.support.waiting import wait_for

POSTS = 2_000

Start = Callable[..., Process]


@pytest.fixture
def node() -> Iterator[Node]:
    """For the options."""
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


@pytest.fixture
def start(node: Node, tmp_path: Path) -> Iterator[Start]:
    posts = tmp_path / "posts.ndjson"
    with posts.open("w") as opened:
        for number in range(POSTS):
            text = "so happy" if number % 2 else "so sad"
            opened.write(json.dumps({"id": str(number), "text": text, "created_ms": 1 + number}) + "\n")
    command = [sys.executable, "-m", "quorate", "stream", "replay", str(posts), f"--state={tmp_path / 'state'}"]
    command += [f"--node=http://127.0.0.1:{node.port}"]
    started: list[Process] = []

    def make(*flags: str) -> Process:
        started.append(Process("stream", [*command, *flags], tmp_path / "output.txt"))
        started[-1].start()
        return started[-1]

    yield make
    for process in started:
        process.close()


def votes_in(nsqd: Server, channel: str = "look") -> dict[str, str]:
    """The options of all votes in the topic, by id."""
    found: dict[str, str] = {}
    with RawClient(nsqd.address).subscribe("votes", channel, ready=500) as client:
        while len(found) < POSTS:
            messages = client.messages(1)
            client.finish(*messages)
            for vote in (json.loads(message.body) for message in messages):
                assert {"option", "id", "poll"} == set(vote)
                found[vote["id"]] = vote["option"]
        client.leave()
    return found


def published(nsqd: Server) -> int:
    topics = nsqd.get("/stats?format=json&topic=votes")["topics"]
    return int(topics[0]["message_count"]) if topics else 0


def test_all_votes_are_in_the_topic_as_plain_json(servers: Servers, start: Start) -> None:
    nsqd = servers.nsqd()
    process = start("--nsqd", nsqd.tcp)
    assert 0 == process.ended(), process.tail()
    assert f"{POSTS:,} votes confirmed" in process.output()
    assert {"happy": POSTS // 2, "sad": POSTS // 2} == count_by_option(votes_in(nsqd))


def test_a_killed_nsqd_is_waited_for_and_nothing_is_missing(servers: Servers, start: Start) -> None:
    nsqd = servers.nsqd(**DURABLE)
    process = start("--nsqd", nsqd.tcp, "--speed", "recorded")
    wait_for("some votes are in the topic", lambda: published(nsqd) > 100, seen=process.tail)
    nsqd.kill()
    wait_for("it waits", lambda: "topic votes takes no votes" in process.output(), seen=process.tail)
    nsqd.start()
    assert 0 == process.ended(), process.tail()
    assert "topic votes takes votes again" in process.output()
    assert {"happy": POSTS // 2, "sad": POSTS // 2} == count_by_option(votes_in(nsqd))


def test_with_both_each_of_two_nsqds_has_all(servers: Servers, start: Start) -> None:
    one, two = servers.nsqd(), servers.nsqd()
    process = start("--nsqd", one.tcp, "--nsqd", two.tcp, "--both")
    assert 0 == process.ended(), process.tail()
    assert votes_in(one) == votes_in(two)


def count_by_option(votes: dict[str, str]) -> dict[str, int]:
    return {option: list(votes.values()).count(option) for option in ("happy", "sad")}
