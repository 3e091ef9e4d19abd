"""All clients of a run, on one loop in one thread."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import uvloop

from quorate.chaos.history import HistoryFile, OpenSession, PollChange
from quorate.chaos.workload.casting import VotingClient
from quorate.chaos.workload.closed_loops import (
    ClosedLoop,
    MakeRequest,
    Resender,
    batch,
    closing,
    keyed,
    redis_batch,
    redis_single,
    single,
)
from quorate.chaos.workload.digests import DigestTaker
from quorate.chaos.workload.exchange import AskedNode
from quorate.chaos.workload.ledger import Ledger
from quorate.chaos.workload.node_looks import KnownState, NodeWatcher, Noticed
from quorate.chaos.workload.plan import RunPolls
from quorate.chaos.workload.poll_changes import PollKeeper
from quorate.chaos.workload.probe import Probe
from quorate.chaos.workload.queue_voter import QueuePlace, QueueVoter
from quorate.chaos.workload.reading import ReadingClient
from quorate.chaos.workload.recorder import Recorder
from quorate.chaos.workload.redis_reading import RedisReader, TallyFollower
from quorate.chaos.workload.scene import Scene
from quorate.chaos.workload.sessions import SessionWriter
from quorate.chaos.workload.settling import Settling
from quorate.chaos.workload.sink_looks import SinkRows, SinkWatcher
from quorate.errors import NoLeader

T = TypeVar("T")

STOP_S = 10.0
CREATED_S = 30.0  # how long the creation of the first polls may take
SESSIONS = 2
# For each node: what its closed loops send.
LOOPS: Sequence[tuple[str, MakeRequest]] = [
    *[("single", single)] * 3,
    *[("batch", batch)] * 1,
    *[("keyed", keyed)] * 1,
    *[("closing", closing)] * 1,
]
# For each node that has a door for Redis clients. Those whose names begin with `cluster` are clients of a cluster.
REDIS_LOOPS: Sequence[tuple[str, MakeRequest]] = [
    ("redis", redis_single),
    ("redis-batch", redis_batch),
    ("cluster-redis", redis_single),
]


@dataclass(frozen=True, slots=True)
class LoadShape:
    """How much the clients do: the pause of each after an answer, on average. `loops` is for each node."""

    loops: Sequence[tuple[str, MakeRequest]] = tuple(LOOPS)
    redis_loops: Sequence[tuple[str, MakeRequest]] = tuple(REDIS_LOOPS)
    pause_s: float = 0.01
    read_pause_s: float = 0.015
    session_pause_s: float = 0.02


class Workload:
    """`start`, then `stop`, then `settle`, then `close`. The first three may be called from any thread."""

    def __init__(
        self,
        nodes: Sequence[AskedNode],
        history: HistoryFile,
        *,
        prefix: str,
        seed: int,
        window: int,
        known: Callable[[str], KnownState],
        noticed: Noticed,
        changed: Callable[[PollChange | OpenSession], None],
        sinks: Sequence[SinkRows] = (),
        queue: QueuePlace | None = None,
        shape: LoadShape | None = None,
    ) -> None:
        self.recorder = Recorder(history, changed)
        polls = RunPolls(prefix, redis=any(node.redis is not None for node in nodes))
        self.scene = Scene(nodes, polls, self.recorder, Ledger(window))
        self.watchers = [NodeWatcher(node, self.scene, known, noticed) for node in nodes]
        self._seed, self._queue = seed, queue
        self._sinks = [SinkWatcher(sink, prefix, self.recorder) for sink in sinks]
        self._shape = shape or LoadShape()
        self._sessions = [
            SessionWriter(f"producer-{n}", self.scene, n, self._chance(f"producer-{n}"), self._shape.session_pause_s)
            for n in range(SESSIONS)
        ]
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="chaos-clients", daemon=True)
        self._clients: list[asyncio.Task[None]] = []
        self.failure: BaseException | None = None  # of a client: a bug of ours

    # ---- from any thread --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Create the lasting polls, and begin. Raises `NoLeader` if the cluster does not take them."""
        self._thread.start()
        self._call(self._start(), CREATED_S + STOP_S)

    def stop(self) -> None:
        """End all clients. What they had on the way is unknown. Idempotent."""
        self._call(self._stop(), STOP_S)

    def settle(self, deadline_s: float) -> str:
        """Why not everything is known. Empty: it is."""
        settling = Settling(self.scene, self._sessions, self._sinks, self._chance("settle"))
        return self._call(settling.run(deadline_s), deadline_s + STOP_S)

    def close(self) -> None:
        """Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)

    def _call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        calling: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return calling.result(timeout_s)

    # ---- on the loop ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._stop())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    async def _start(self) -> None:
        keeper = PollKeeper("polls", self.scene, 0, self._chance("polls"))
        try:
            async with asyncio.timeout(CREATED_S):
                for poll in self.scene.polls.lasting:
                    await keeper.create(poll)
        except TimeoutError:
            raise NoLeader(f"the cluster did not make the polls of the run within {CREATED_S:g} s") from None
        finally:
            keeper.close()
        for run in self._all_clients():
            client = asyncio.create_task(run)
            client.add_done_callback(self._ended)
            self._clients.append(client)

    def _all_clients(self) -> list[Coroutine[Any, Any, None]]:
        scene, shape, chance = self.scene, self._shape, self._chance
        running = [watcher.run() for watcher in self.watchers]
        for place, node in enumerate(scene.nodes):
            loops = [*shape.loops, *(shape.redis_loops if node.redis is not None else ())]
            for number, (kind, make) in enumerate(loops):
                name = f"{kind}-{node.id}-{number}"
                caster = VotingClient(name, scene, place, chance(name), cluster_client=kind.startswith("cluster"))
                running.append(ClosedLoop(caster, make, shape.pause_s).run())
            if node.redis is not None:
                name = f"redis-reader-{node.id}"
                running.append(RedisReader(name, node, scene, chance(name), shape.read_pause_s).run())
                running.append(TallyFollower(f"follower-{node.id}", node, scene).run())
            name = f"reader-{node.id}"
            running.append(ReadingClient(name, node, scene, chance(name), shape.read_pause_s).run())
        running += [session.run() for session in self._sessions]
        running.append(Resender(VotingClient("resender", scene, 0, chance("resender"))).run())
        running.append(Probe(scene, chance("probe")).run())
        running.append(PollKeeper("hand", scene, 1, chance("hand")).close_by_hand())
        running.append(PollKeeper("timed", scene, 2, chance("timed")).close_by_time())
        running.append(DigestTaker(scene).run())
        running += [sink.run() for sink in self._sinks]
        if self._queue is not None:
            running.append(QueueVoter(VotingClient("queue", scene, 0, chance("queue")), self._queue).run())
        return running

    def _ended(self, client: asyncio.Task[None]) -> None:
        if not client.cancelled() and (error := client.exception()) is not None:
            self.failure = self.failure or error

    async def _stop(self) -> None:
        clients, self._clients = self._clients, []
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    def _chance(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}.{name}")
