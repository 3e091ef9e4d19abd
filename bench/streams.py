"""Measures posts end to end: from `quorate stream replay` to the tally of three nodes, with and without NSQ.

    python -m bench.streams [--posts 200000] [--options 10] [--rounds 3] [--double]

The posts are made up, with a seed, and each round must count exactly what was planted in them. The stream follows an
empty file; the clock runs from the moment at which all posts are put into it, until each node shows the whole tally.
CPU is of a post, and that of the nodes is of all three together. A vote is a message of its own in NSQ. nsqd has its
default flags; without one on PATH, --double takes the tests' double, whose speed says nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from bench.systems import ROOT
from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.ingest.social.synthetic.posts import SyntheticPosts
from quorate.processes.cluster import FreshCluster
from quorate.processes.nsq_server import NsqServer
from quorate.processes.process import Process
from quorate.processes.stream import StreamProcess
from quorate.processes.waiting import wait_for

SEED = 12
RATE = 1_000.0
POLL = "bench"
WORDS = ("happy", "sad", "angry", "ice cream", "東京", "고양이", "кот", "New York", "Jerry's", "tea")
DEADLINE_S = 900.0
IN_FLIGHT = 2_000


class StreamRow(msgspec.Struct):
    """One way, in one round. CPU in µs a post, memory in MB: the most that was seen."""

    way: str
    posts: int
    votes: int
    seconds: float
    stream_us: float
    nsqd_us: float
    nodes_us: float
    stream_mb: float
    node_mb: float

    def line(self) -> str:
        speed = f"{self.posts / self.seconds:>8,.0f} posts/s, {self.votes / self.seconds:>8,.0f} votes/s"
        cpu = f"CPU a post: stream {self.stream_us:.0f} µs, nsqd {self.nsqd_us:.0f}, three nodes {self.nodes_us:.0f}"
        return f"{self.way:>24}: {speed}; {cpu}; memory: stream {self.stream_mb:.0f} MB, a node {self.node_mb:.0f}"


def options_of(number: int) -> tuple[str, ...]:
    return (*WORDS, *(f"subject{each}x" for each in range(number - len(WORDS))))[:number]


class StreamBench:
    """One round: a new cluster, and a new nsqd if `nsqd_command` says how to run one."""

    def __init__(self, folder: Path, made: SyntheticPosts, content: bytes, nsqd_command: Sequence[str] | None) -> None:
        self._folder, self._made, self._content = folder, made, content
        self._nsqd = NsqServer("nsqd", nsqd_command, folder / "nsqd", cwd=ROOT) if nsqd_command else None
        nsq = {"nsq.nsqd": [self._nsqd.tcp], "nsq.max_in_flight": IN_FLIGHT} if self._nsqd else {}
        self._cluster = FreshCluster(folder / "cluster", settings={"flush.interval_ms": 1_000, **nsq})
        self._posts = folder / "posts.ndjson"
        to = ["--to=nsq", f"--nsqd={self._nsqd.tcp}"] if self._nsqd else ["--to=cluster"]
        nodes = [f"--node={url}" for url in self._cluster.urls]
        own = [f"--state={folder / 'state'}", "--follow"]
        self._stream = StreamProcess(["replay", str(self._posts), *own, *to, *nodes], folder / "stream.txt")

    def run(self, way: str) -> StreamRow:
        with self._running():
            cpu_before = self._cpu()
            began_s = time.monotonic()
            self._posts.write_bytes(self._content)
            memory = [(0.0, 0.0)]
            wait_for("all is counted", lambda: self._is_counted(memory), deadline_s=DEADLINE_S, every_s=0.05)
            took_s = time.monotonic() - began_s
            used = [after - before for before, after in zip(cpu_before, self._cpu(), strict=True)]
        posts = self._made.posts
        stream_us, nsqd_us, nodes_us = (cpu_s / posts * 1e6 for cpu_s in used)
        stream_mb, node_mb = (max(each) / 1e6 for each in zip(*memory, strict=True))
        votes = self._made.truth.total
        return StreamRow(way, posts, votes, took_s, stream_us, nsqd_us, nodes_us, stream_mb, node_mb)

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if self._nsqd:
                stack.callback(self._nsqd.close)
                self._nsqd.start()
            with self._cluster, self._cluster.client() as client:
                client.create_poll(POLL, list(self._made.truth.votes[POLL]))
                self._posts.touch()
                stack.callback(self._stream.close)
                self._stream.start()
                wait_for("the stream follows", lambda: (self._stream.status() or {}).get("connected"), deadline_s=60)
                yield

    def _is_counted(self, memory: list[tuple[float, float]]) -> bool:
        memory.append((self._stream.memory_bytes(), max(node.memory_bytes() for node in self._cluster.nodes)))
        if not self._is_taken():  # results of 50,000 options are not asked for twenty times a second
            return False
        shown = self._cluster.results(POLL)
        return shown is not None and shown["results"] == self._made.truth.votes[POLL]

    def _is_taken(self) -> bool:
        """No post waits in the stream, and no vote in NSQ."""
        posts = (self._stream.status() or {}).get("posts", {})
        if posts.get("confirmed", 0) < self._made.posts - self._made.kinds["edit"]:
            return False
        return self._nsqd is None or self._nsqd.unfinished("votes", "counter") == 0

    def _cpu(self) -> list[float]:
        groups: list[list[Process]] = [[self._stream], [self._nsqd] if self._nsqd else [], [*self._cluster.nodes]]
        return [sum(process.cpu_s() for process in group) for group in groups]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=200_000)
    parser.add_argument("--options", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3, help="the median by speed counts")
    parser.add_argument("--double", action="store_true")
    args = parser.parse_args()
    nsqd = shutil.which("nsqd")
    command = [nsqd] if nsqd else [sys.executable, "-m", "tests.doubles.nsq", "nsqd"] if args.double else None
    made = SyntheticPosts([StreamPoll(POLL, options_of(args.options))], SEED, rate=RATE)
    content = msgspec.json.Encoder().encode_lines(list(islice(made, args.posts)))
    size = f"{args.posts:,} posts ({len(content) / args.posts:.0f} bytes a line), {args.options:,} options"
    print(f"Python {platform.python_version()}, {size}, nsqd: {command[0] if command else 'none'}", flush=True)
    for way, nsqd_command in (("replay, cluster", None), ("replay, NSQ, cluster", command)):
        if way != "replay, cluster" and nsqd_command is None:
            continue
        rows = [_round(way, made, content, nsqd_command) for _ in range(args.rounds)]
        print(sorted(rows, key=lambda row: row.seconds)[len(rows) // 2].line(), flush=True)


def _round(way: str, made: SyntheticPosts, content: bytes, nsqd_command: Sequence[str] | None) -> StreamRow:
    with tempfile.TemporaryDirectory(prefix="quorate-bench-") as folder:
        return StreamBench(Path(folder), made, content, nsqd_command).run(way)


if __name__ == "__main__":
    main()
