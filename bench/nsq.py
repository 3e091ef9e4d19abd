"""Measures how fast votes are taken from NSQ, beside a consumer that only finishes the same messages.

    python -m bench.nsq [--messages 200000] [--pack 100] [--in-flight 2000] [--rounds 3] [--nodes 3] [--double]

All messages are published before. 5 % of them are published twice with the same vote ids, and the tally must be exact
at the end. The consumers take turns on copies of one backlog:

    pynsq     a stock nsq.Reader that finishes messages in groups 2 ms later (its fastest way), and does nothing else
    finish    our subscription, which finishes what it takes
    count     the same, but each vote is counted before its message is finished: with submitter and state machine in
              this process, without a network or a disk
    nodes     as many real nodes as --nodes says; a majority syncs each entry to disk; their CPU time is added up

Trust the ratios and the CPU time: nsqd uses a part of the same machine.
"""

# pynsq has no annotations:
# mypy: allow-untyped-calls

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nsq
import uvloop

from bench.in_memory import InMemoryReplica
from bench.systems import ROOT
from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.ingest.nsq.settings import NsqSettings
from quorate.ingest.nsq.source import NsqSource
from quorate.ingest.source import Caster
from quorate.processes.cluster import FreshCluster
from quorate.processes.nsq_server import NsqServer
from quorate.processes.waiting import until, wait_for
from quorate.vote import Tallied, Vote

OPTIONS = ("happy", "sad", "fail", "success")
TWICE = 0.05
MESSAGES_AN_MPUB = 2_000
GROUP_S = 0.002
DEADLINE_S = 600.0


@dataclass(slots=True)
class Took:
    messages: int
    votes: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.messages / self.seconds


class JustFinish:
    """Answers that all votes are counted."""

    async def cast(self, votes: Sequence[Vote], *, timeout_s: float, sent_ms: Sequence[int] | None = None) -> Tallied:
        return Tallied(len(votes), 0, [], 0)


# ---- the backlog ----------------------------------------------------------------------------------------------------


def bodies(messages: int, pack: int) -> Iterator[bytes]:
    """Messages of `pack` votes, each vote with an id. Every 20th message comes twice."""
    encode = msgspec.json.encode
    for number in range(messages):
        first = number * pack
        votes = [{"option": OPTIONS[v % 4], "id": f"bench-{v}"} for v in range(first, first + pack)]
        body = encode(votes if pack > 1 else votes[0])
        yield body
        if number % round(1 / TWICE) == 0:
            yield body


def preload(nsqd: NsqServer, topic: str, messages: int, pack: int) -> int:
    """Publish the backlog and wait until the topic's channel has all of it. Returns the number of messages."""
    nsqd.post(f"/topic/create?topic={topic}")
    nsqd.post(f"/channel/create?topic={topic}&channel=counter")
    batch: list[bytes] = []
    total = size = 0
    for body in bodies(messages, pack):
        if len(batch) == MESSAGES_AN_MPUB or size + len(body) > 2_000_000:
            nsqd.publish(topic, *batch)
            batch, size = [], 0
        batch.append(body)
        size += len(body)
        total += 1
    nsqd.publish(topic, *batch)
    wait_for("the backlog is whole", lambda: nsqd.channel(topic, "counter")["depth"] == total, deadline_s=120)
    return total


# ---- consumers ------------------------------------------------------------------------------------------------------


async def timed(nsqd: NsqServer, topic: str, total: int, pack: int, seen: Callable[[], int]) -> Took:
    """The time from the first message to the last. Then wait until nsqd knows that all are finished."""
    await until("the first messages come", seen, every_s=0.001)
    start_s, cpu_s, before = time.monotonic(), time.process_time(), seen()
    await until("all messages are taken", lambda: seen() >= total, every_s=0.005, deadline_s=DEADLINE_S)
    took = Took(total - before, (total - before) * pack, time.monotonic() - start_s, time.process_time() - cpu_s)
    await until("nsqd knows them finished", lambda: not nsqd.unfinished(topic, "counter"), every_s=0.05)
    return took


async def by_pynsq(nsqd: NsqServer, topic: str, total: int, pack: int, in_flight: int) -> Took:
    loop = asyncio.get_running_loop()
    waiting: list[Any] = []
    finished = 0

    def finish() -> None:
        nonlocal finished
        for message in waiting:
            message.finish()
        finished += len(waiting)
        waiting.clear()

    def handle(message: Any) -> None:
        message.enable_async()
        if not waiting:
            loop.call_later(GROUP_S, finish)
        waiting.append(message)

    reader = nsq.Reader(
        topic,
        "counter",
        message_handler=handle,
        nsqd_tcp_addresses=[nsqd.tcp],
        max_tries=0,
        max_in_flight=in_flight,
        output_buffer_timeout=25,
        output_buffer_size=64 * 1024,
    )
    took = await timed(nsqd, topic, total, pack, lambda: finished)
    reader.set_max_in_flight(0)
    reader.close()
    return took


async def by_source(caster: Caster, nsqd: NsqServer, topic: str, total: int, pack: int, in_flight: int) -> Took:
    source = NsqSource(caster, NsqSettings(nsqd=[nsqd.tcp], topic=topic, max_in_flight=in_flight), node_id="bench")
    await source.start()

    def settled() -> int:
        status = source.status()
        return int(status["applied"] + status["duplicates"]) // pack

    took = await timed(nsqd, topic, total, pack, settled)
    await source.stop()
    return took


async def counted(nsqd: NsqServer, topic: str, total: int, messages: int, pack: int, in_flight: int) -> Took:
    replica = InMemoryReplica()
    submitter = Submitter(replica)
    poll = CreatePoll("mood", "How are you?", [*OPTIONS], "open", None, False)
    await submitter.create_poll(poll, timeout_s=1)
    took = await by_source(submitter, nsqd, topic, total, pack, in_flight)
    submitter.stop()
    assert replica.state.results("mood") == tally_of(messages, pack), replica.state.results("mood")
    return took


def by_nodes(nsqd: NsqServer, topic: str, total: int, messages: int, pack: int, args: argparse.Namespace) -> Took:
    """A new cluster takes the backlog. The channel is paused until all nodes have subscribed."""
    nsqd.post(f"/channel/pause?topic={topic}&channel=counter")
    settings = {"nsq.nsqd": [nsqd.tcp], "nsq.topic": topic, "nsq.max_in_flight": args.in_flight, "flush.sink": "none"}
    with (
        tempfile.TemporaryDirectory() as folder,
        FreshCluster(Path(folder), args.nodes, settings) as nodes,
        nodes.client() as client,
    ):
        client.create_poll("mood", OPTIONS)
        nodes.wait_for("all subscribe", lambda: nsqd.channel(topic, "counter")["client_count"] == args.nodes)
        start_s, cpu_s = time.monotonic(), sum(node.cpu_s() for node in nodes.nodes)
        nsqd.post(f"/channel/unpause?topic={topic}&channel=counter")
        wait_for("all is finished", lambda: not nsqd.unfinished(topic, "counter"), deadline_s=DEADLINE_S)
        took = Took(total, total * pack, time.monotonic() - start_s, sum(node.cpu_s() for node in nodes.nodes) - cpu_s)
        shown = nodes.wait_for("all nodes agree", lambda: nodes.results("mood"))
    assert shown["results"] == tally_of(messages, pack), shown
    return took


def tally_of(messages: int, pack: int) -> dict[str, int]:
    return {option: len(range(at, messages * pack, 4)) for at, option in enumerate(OPTIONS)}


def run(work: Any) -> Took:
    took: Took = uvloop.run(work)
    return took


# ---- the figures ----------------------------------------------------------------------------------------------------


def compare(nsqd: NsqServer, args: argparse.Namespace, messages: int, pack: int) -> dict[str, Took]:
    """The median round of each consumer."""
    rounds: dict[str, list[Took]] = {}
    for number in range(args.rounds):
        for name in ("pynsq", "finish", "count", *(["nodes"] if args.nodes else [])):
            topic = f"{name}-{pack}-{number}"
            total = preload(nsqd, topic, messages, pack)
            how = nsqd, topic, total
            if name == "pynsq":
                took = run(by_pynsq(*how, pack, args.in_flight))
            elif name == "finish":
                took = run(by_source(JustFinish(), *how, pack, args.in_flight))
            elif name == "nodes":
                took = by_nodes(*how, messages, pack, args)
            else:
                took = run(counted(*how, messages, pack, args.in_flight))
            rounds.setdefault(name, []).append(took)
            nsqd.post(f"/topic/delete?topic={topic}")
    return {name: sorted(some, key=lambda took: took.rate)[len(some) // 2] for name, some in rounds.items()}


def show(title: str, figures: dict[str, Took]) -> None:
    print(f"\n{title}")
    print(
        f"{'consumer':10} {'messages/s':>12} {'votes/s':>12} {'us CPU/message':>15} {'of pynsq':>9} {'of finish':>10}"
    )
    for name, took in figures.items():
        print(
            f"{name:10} {took.rate:12,.0f} {took.votes / took.seconds:12,.0f} {took.cpu_s / took.messages * 1e6:15.1f}"
            f" {took.rate / figures['pynsq'].rate:9.0%} {took.rate / figures['finish'].rate:10.0%}"
        )


def server(kind: str, folder: Path) -> NsqServer:
    command = ["nsqd"] if kind == "nsqd" else [sys.executable, "-m", "tests.doubles.nsq", "nsqd"]
    return NsqServer("nsqd", command, folder, cwd=ROOT, mem_queue_size=1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--pack", type=int, default=100, help="votes a message in the second part")
    parser.add_argument("--in-flight", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=3, help="real nodes that drain the backlog; 0: leave that out")
    parser.add_argument("--double", action="store_true", help="use the double even where nsqd is on PATH")
    args = parser.parse_args()
    logging.getLogger("nsq").setLevel(logging.CRITICAL)  # a stock reader logs its own end as an error
    kind = "double" if args.double or not shutil.which("nsqd") else "nsqd"
    print(
        f"{kind}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", vars(args)
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(server(kind, Path(folder))) as nsqd:
        nsqd.start()
        show(
            f"{args.messages:,} messages of one vote, {TWICE:.0%} of them twice", compare(nsqd, args, args.messages, 1)
        )
        packs = max(1, args.messages // args.pack)
        show(f"{packs:,} messages of {args.pack} votes", compare(nsqd, args, packs, args.pack))


if __name__ == "__main__":
    main()
