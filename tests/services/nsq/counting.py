"""A cluster of one node without a network, and sources that count into it: real state machine, real submitter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, TypeVar

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit.submitter import Submitter
from quorate.ingest.nsq.settings import NsqSettings
from quorate.ingest.nsq.source import NsqSource
from quorate.ingest.source import Caster
from quorate.vote import Tallied, Vote
from tests.services.nsq.servers import Server
from tests.support.local_replica import LocalReplica

T = TypeVar("T")


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


def vote(option: str, id: str | None = None, **more: object) -> bytes:
    return json.dumps({"option": option} | ({"id": id} if id else {}) | more).encode()


class LocalCluster:
    """What outlives its nodes: the log and the state."""

    def __init__(self, replica: LocalReplica, submitter: Submitter) -> None:
        self.replica, self.submitter = replica, submitter

    def results(self, poll: str = "mood") -> dict[str, int]:
        return self.replica.state.results(poll) or {}

    @property
    def total(self) -> int:
        return sum(self.results().values())


async def cluster(options: Sequence[str] = ("happy", "sad")) -> LocalCluster:
    replica = LocalReplica("n1")
    submitter = Submitter(replica)
    await submitter.create_poll(CreatePoll("mood", "How are you?", [*options], "open", None, False), timeout_s=1)
    return LocalCluster(replica, submitter)


@asynccontextmanager
async def source(caster: Caster, *servers: Server, node_id: str = "n1", **settings: Any) -> AsyncIterator[NsqSource]:
    """A started source at these nsqds or lookupds, impatient enough for tests."""
    quick = {"lookupd_poll_s": 0.2, "hold_s": 0.5, "cast_timeout_s": 0.3}
    addresses = {
        "nsqd": [s.tcp for s in servers if s.program == "nsqd"],
        "lookupd": [s.http for s in servers if s.program == "nsqlookupd"],
    }
    made = NsqSource(caster, NsqSettings(**(quick | addresses | settings)), node_id=node_id)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


class Crashing:
    """Counts, and then nothing more is heard of it: a node that dies between commit and FIN."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter
        self.counted = 0

    async def cast(self, votes: Sequence[Vote], *, timeout_s: float) -> Tallied:
        tallied = await self._submitter.cast(votes, timeout_s=timeout_s)
        self.counted += tallied.applied
        await asyncio.Event().wait()
        return tallied


async def crash(source: NsqSource) -> None:
    """End it as a killed process ends: its connections break, nothing is finished or given back."""
    consumer, subscription = source._consumer, source._subscription
    consumer._stopping = True
    for connection in list(subscription.conns.values()):
        connection.close()
    for task in [*consumer._groups, *subscription._tasks.values()]:
        task.cancel()
    await asyncio.sleep(0)
