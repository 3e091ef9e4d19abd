"""Offers one reader more posts than it can take, and shows what becomes of them: memory, what is told, the tally.

    python -m tests.system.stream_firehose [--rate 100000] [--seconds 10] [--kills 0] [--to cluster] [--seed N]

A server speaks Jetstream's protocol over a WebSocket: so many made-up posts a second, whether they are taken or not.
Who falls 200,000 posts behind is sent away, as Jetstream does it, and comes back with a cursor. `quorate stream
bluesky` reads them for three nodes, with `--to nsq` by way of nsqd (the real one where it is on PATH). `--kills`: so
often it is ended by `kill -9` on the way. At the end each node must show exactly the votes that were planted, and
nothing may be called lost. All runs on this machine, so the server takes its share of the CPU. If a run fails, its logs
are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from quorate.ingest.social.synthetic.posts import SyntheticPosts
from quorate.processes.nsq_server import NsqServer
from quorate.processes.stream import StreamProcess
from tests.support.checkout import ROOT
from tests.support.cluster import Cluster
from tests.support.waiting import NeverHappened, wait_for
from tests.system.double_process import DoubleProcess
from tests.system.stream_chain import MOOD, nsqd_command
from tests.system.stream_networks import Jetstream

DEADLINE_S = 900.0
TOLD_EVERY_S = 5.0


@dataclass(slots=True)
class Seen:
    """What was most on the way. A reader that was killed begins its numbers anew."""

    memory_bytes: int = 0
    node_bytes: int = 0
    under_way: int = 0
    losses: list[Any] = field(default_factory=list)
    disconnects: dict[str, int] = field(default_factory=dict)
    told_s: float = 0.0


class Firehose:
    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args, self.seen = folder, args, Seen()
        command, self.nsqd_kind = nsqd_command()
        self.nsqd = NsqServer("nsqd", command, folder / "nsqd", cwd=ROOT) if args.to == "nsq" else None
        nsq = {"nsq.nsqd": [self.nsqd.tcp], "nsq.max_in_flight": 2_000} if self.nsqd else {}
        self.cluster = Cluster(folder / "cluster", settings=nsq)
        self.double = DoubleProcess("firehose", folder)
        self.made = SyntheticPosts([MOOD], args.seed, rate=args.rate, shares=Jetstream.shares)
        self.stream = StreamProcess([], folder / "stream.txt")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.callback(self.double.close)
            self.double.start()
            self._load()
            if self.nsqd:
                stack.callback(self.nsqd.close)
                self.nsqd.start()
            with self.cluster, self.cluster.client() as client:
                client.create_poll(MOOD.id, list(MOOD.options))
                nodes = [f"--node={url}" for url in self.cluster.urls]
                to = [f"--nsqd={self.nsqd.tcp}"] if self.nsqd else []
                own = [f"--url={self.double.base.replace('http', 'ws', 1)}", f"--state={self.folder / 'state'}"]
                self.stream = StreamProcess(["bluesky", *own, *nodes, *to], self.folder / "stream.txt")
                stack.callback(self.stream.close)
                self._start_stream()
                yield

    def _load(self) -> None:
        file = self.folder / "posts.ndjson"
        posts = int(self.args.rate * self.args.seconds)
        file.write_bytes(msgspec.json.Encoder().encode_lines(list(islice(self.made, posts))))
        self.double.order("load", file=str(file), rate=self.args.rate)

    def _start_stream(self) -> None:
        self.stream.start()
        wait_for("the stream is connected", self._is_connected, deadline_s=60, seen=self.stream.tail)

    def _is_connected(self) -> bool:
        return bool((self.stream.status() or {}).get("connected"))

    def run(self) -> None:
        began_s, votes = time.monotonic(), self.made.truth.total
        self.double.order("begin")
        for number in range(self.args.kills):
            at = votes * (number + 1) // (self.args.kills + 1)
            self._wait(f"{at:,} votes are counted", lambda at=at: self._look(began_s) and self._counted() >= at)
            self.stream.kill()
            print(f"  {time.monotonic() - began_s:5.1f} s: the reader is killed", flush=True)
            self._start_stream()
        self._wait("all is counted", lambda: self._look(began_s) and self._is_exact())
        self._tell(time.monotonic() - began_s)
        assert [] == self.seen.losses
        assert [] == self.double.seen()["violations"]

    def _wait(self, what: str, condition: Any) -> None:
        wait_for(what, condition, deadline_s=DEADLINE_S, every_s=0.2, seen=self._tails)

    def _tails(self) -> str:
        return f"{self.stream.tail()}\n{self.cluster.seen()}"

    def _look(self, began_s: float) -> bool:
        status, seen, now_s = self.stream.status() or {}, self.seen, time.monotonic()
        if status:
            seen.memory_bytes = max(seen.memory_bytes, self.stream.memory_bytes())
            seen.node_bytes = max(seen.node_bytes, *(node.memory_bytes() for node in self.cluster.nodes))
            seen.under_way = max(seen.under_way, status["posts"]["under_way"])
            seen.losses += [loss for loss in status["lost"] if loss not in seen.losses]
            seen.disconnects = status["disconnects"]
            if now_s - seen.told_s >= TOLD_EVERY_S:
                seen.told_s, said = now_s, self.double.seen()
                confirmed, mb = status["posts"]["confirmed"], self.stream.memory_bytes() / 1e6
                print(
                    f"  {now_s - began_s:5.1f} s: {said['said']:,} posts were said, {confirmed:,} are confirmed, lag "
                    f"{status['lag_s'] or 0:.0f} s, {mb:.0f} MB, ends {status['disconnects']}",
                    flush=True,
                )
        return True

    def _counted(self) -> int:
        found = self.cluster.results(MOOD.id)
        return 0 if found is None else int(found["total"])

    def _is_exact(self) -> bool:
        found = self.cluster.results(MOOD.id)
        assert found is None or found["total"] <= self.made.truth.total, "votes count twice"
        return found is not None and found["results"] == self.made.truth.votes[MOOD.id]

    def _tell(self, took_s: float) -> None:
        said, seen = self.double.seen(), self.seen
        posts, votes = self.made.posts, self.made.truth.total
        print(
            f"exact in all nodes: {votes:,} votes of {posts:,} posts, said in {posts / self.args.rate:.0f} s and "
            f"counted in {took_s:.1f} s, {posts / took_s:,.0f} a second; {said['connections']} connections, "
            f"{said['sent_away']} times too slow; at most {seen.under_way:,} posts under way, the stream "
            f"{seen.memory_bytes / 1e6:.0f} MB, a node {seen.node_bytes / 1e6:.0f} MB; called lost: {len(seen.losses)}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100_000, help="posts a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--to", choices=("cluster", "nsq"), default="cluster")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="quorate-firehose-"))
    firehose = Firehose(folder, args)
    by = f", by nsqd ({firehose.nsqd_kind})" if firehose.nsqd else ""
    print(
        f"seed {args.seed}: {args.rate:,.0f} posts a second for {args.seconds:g} s, {args.kills} kills{by}", flush=True
    )
    try:
        with firehose.running():
            firehose.run()
    except (AssertionError, NeverHappened) as error:
        print(f"FAILED (seed {args.seed}, logs in {folder}): {error}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
