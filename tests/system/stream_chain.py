"""The whole way of a post: a network, `quorate stream`, two nsqds, three nodes, the database. Each is a process.

Posts come in parts. Each part says by itself what it should count, and at its end the tallies of all polls must say
exactly that. Meanwhile the network hangs up, and something is killed. So a loss is seen in the part where it happens,
and a vote that counts twice at the latest when the queues are empty, at the end.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from quorate.errors import QuorateError
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.synthetic.posts import SyntheticPosts
from quorate.processes.nsq_server import NsqServer
from quorate.processes.stream import StreamProcess
from tests.support.checkout import ROOT
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for
from tests.system.stream_networks import NETWORKS, ChainNetwork

MOOD = StreamPoll(
    "mood", ("happy", "sad", "angry", "ice cream", "東京", "고양이", "кот", "👍🏽", "New York", "Jerry's")
)
ONCE = StreamPoll("once", ("happy", "tea", "coffee"), Rules(one_per="author", reposts=False))
EARLY = StreamPoll("early", ("breakfast", "sad", "sunrise"))  # is closed on the way
LATE = StreamPoll("late", ("supper", "sad", "sunset"))  # comes on the way
RULES = "once: one-per-author, no-reposts"
RATE = 2_000.0  # several posts a millisecond: places in a stream must be exact
MSG_TIMEOUT = "3s"  # then nsqd gives to another node what a killed one had


def nsqd_command() -> tuple[list[str], str]:
    """The real one where it is on PATH, with its default flags: killed, it forgets what it had confirmed."""
    real = shutil.which("nsqd")
    return ([real], "nsqd") if real else ([sys.executable, "-m", "tests.doubles.nsq", "nsqd"], "its double")


class StreamChain:
    """So many `hang_ups` come in the course of so many posts (`of`). `sink`: further settings of the nodes, for another
    database than SQLite."""

    def __init__(
        self, folder: Path, network: str, seed: int, *, hang_ups: int, of: int, sink: Mapping[str, Any] | None = None
    ) -> None:
        self.folder, self.seed, self.hang_ups, self.of = folder, seed, hang_ups, of
        self.network: ChainNetwork = NETWORKS[network](folder)
        self.chance = random.Random(f"{seed}.chain")
        command, self.nsqd_kind = nsqd_command()
        self.nsqds = [
            NsqServer("nsqd", command, folder / f"nsqd{number}", cwd=ROOT, msg_timeout=MSG_TIMEOUT) for number in (1, 2)
        ]
        nsq = {"nsq.nsqd": [nsqd.tcp for nsqd in self.nsqds], "nsq.max_in_flight": 2_000}
        self.cluster = Cluster(folder / "cluster", settings={**nsq, **(sink or {})})
        self.stream = StreamProcess([], folder / "stream.txt")
        self.polls: list[StreamPoll] = []  # that are open
        self.past: list[StreamPoll] = []  # that are closed, and still mentioned
        self.expected: dict[str, Counter[str]] = {}
        self.now_ms = 1_767_225_600_000
        self.parts = self.posts = 0
        self.kinds: Counter[str] = Counter()

    # ---- life -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> StreamChain:
        try:
            for nsqd in self.nsqds:
                nsqd.start()
            self.network.start()
            self.network.hang_up_often(self.hang_ups, self.seed, self.of)
            self.cluster.start()
            for poll in (MOOD, ONCE, EARLY):
                self.add_poll(poll)
            self.stream = StreamProcess(self._arguments(), self.folder / "stream.txt")
            self.stream.start()
            self._wait_for_stream("it is connected", lambda status: bool(status["connected"]))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.network.close()
        for process in (self.stream, *self.nsqds):
            process.close()
        self.cluster.close()

    def _arguments(self) -> list[str]:
        targets = [f"--nsqd={nsqd.tcp}" for nsqd in self.nsqds] + ["--to=nsq", "--both"]
        nodes = [f"--node={url}" for url in self.cluster.urls]
        return [*self.network.arguments(), *targets, *nodes, f"--state={self.folder / 'state'}", f"--poll={RULES}"]

    def seen(self) -> str:
        rest = [*(process.tail(8) for process in (self.stream, *self.nsqds)), self.network.tail()]
        return "\n".join([f"expected {self.expected}", f"found {self.found()}", *rest, self.cluster.seen()])

    # ---- polls ------------------------------------------------------------------------------------------------------

    def add_poll(self, poll: StreamPoll) -> None:
        """Posts that mention its options come after the stream has it."""
        with self.cluster.client() as client:
            client.create_poll(poll.id, list(poll.options))
        self.polls.append(poll)
        self.expected[poll.id] = Counter(dict.fromkeys(poll.options, 0))
        if self.stream.running:
            number = len(self.polls)
            self._wait_for_stream("it has all polls", lambda status: bool(status["polls"]["polls"] == number))

    def close_poll(self, poll: StreamPoll) -> None:
        """All that was said for it is counted. What is said from now on is not, also before the stream knows it."""
        with self.cluster.client() as client:
            client.set_poll_state(poll.id, "closed")
        self.polls.remove(poll)
        self.past.append(poll)

    # ---- parts ------------------------------------------------------------------------------------------------------

    def run_part(self, posts: int, fault: Callable[[], None] | None = None) -> None:
        """Publish posts; cause the fault at a random moment of their way; wait until all of them count, exactly."""
        before, votes = self.counted(), self._publish(posts)
        if fault is not None:
            at = before + int(votes * self.chance.uniform(0.1, 0.7))
            self._wait(f"{at:,} votes are counted", lambda: self.counted() >= at, posts)
            fault()
        self._wait(f"part {self.parts} counts exactly", self.is_exact, posts)
        self.network.forget()

    def _publish(self, posts: int) -> int:
        """How many votes they should be. Only what is open counts."""
        self.parts += 1
        shares, prefix = self.network.shares, f"s{self.seed}-{self.parts}"
        made = SyntheticPosts(
            [*self.polls, *self.past],
            f"{self.seed}.{self.parts}",
            rate=RATE,
            start_ms=self.now_ms,
            prefix=prefix,
            shares=shares,
        )
        lines = list(islice(made, posts))
        file = self.folder / "part.ndjson"
        file.write_bytes(msgspec.json.Encoder().encode_lines(lines))
        self.now_ms = lines[-1].created_ms + 1_000
        self.posts += posts
        self.kinds += made.kinds
        for poll in self.polls:
            self.expected[poll.id].update(made.truth.votes[poll.id])
        self.network.publish(file)
        return sum(sum(made.truth.votes[poll.id].values()) for poll in self.polls)

    def _wait(self, what: str, condition: Callable[[], bool], posts: int) -> None:
        wait_for(what, condition, deadline_s=90 + posts / 100, every_s=0.1, seen=self.seen)

    def is_exact(self) -> bool:
        """Raises an AssertionError as soon as there are more votes than there should be."""
        found = self.found()
        if found is None:
            return False
        for poll_id, results in found.items():
            too_many = {option: votes for option, votes in results.items() if votes > self._most(poll_id, option)}
            assert {} == too_many, self.seen()
        return all(self._is_right(poll_id, results) for poll_id, results in found.items())

    def _most(self, poll_id: str, option: str) -> int:
        """Of an author who mentions two options, either may come first: two nsqds keep no order."""
        return sum(self.expected[poll_id].values()) if poll_id == ONCE.id else self.expected[poll_id][option]

    def _is_right(self, poll_id: str, results: Mapping[str, int]) -> bool:
        if poll_id == ONCE.id:
            return sum(results.values()) == sum(self.expected[poll_id].values())
        return dict(results) == dict(self.expected[poll_id])

    # ---- what there is ----------------------------------------------------------------------------------------------

    def found(self) -> dict[str, dict[str, int]] | None:
        """The results of all polls as the leader has them; None if nobody leads at the moment."""
        try:
            with self.cluster.client(timeout_s=2) as client:
                return {poll_id: client.results(poll_id)["results"] for poll_id in self.expected}
        except QuorateError:
            return None

    def counted(self) -> int:
        return sum(sum(results.values()) for results in (self.found() or {}).values())

    def _wait_for_stream(self, what: str, holds: Callable[[dict[str, Any]], bool]) -> None:
        def is_so() -> bool:
            status = self.stream.status()
            return status is not None and holds(status)

        wait_for(f"the stream says that {what}", is_so, deadline_s=40, seen=self.stream.tail)

    def unfinished(self) -> int:
        return sum(nsqd.unfinished("votes", "counter") for nsqd in self.nsqds)

    def assert_exact_everywhere(self, in_database: Callable[[str], Mapping[str, int] | None] | None = None) -> None:
        """When the queues are empty: on each node by itself, and in the database."""
        self._wait("the queues are empty", lambda: self.unfinished() == 0, self.posts // 10)
        assert self.is_exact(), self.seen()
        for poll_id in self.expected:
            self._check_everywhere(poll_id, in_database or self.cluster.in_sqlite)
        assert [] == self.network.violations()

    def _check_everywhere(self, poll_id: str, read: Callable[[str], Mapping[str, int] | None]) -> None:
        shown = self.cluster.wait_for("all nodes agree", lambda: self.cluster.results(poll_id))
        assert self._is_right(poll_id, shown["results"]), self.seen()
        self._wait(f"the database has {poll_id}", lambda: read(poll_id) == shown["results"], 0)


def parts_of(posts: int, number: int) -> Sequence[int]:
    """So many parts, of about the same size."""
    return [posts * (at + 1) // number - posts * at // number for at in range(number)]
