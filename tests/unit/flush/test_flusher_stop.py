"""Stopping a flusher: one more flush, and never a long wait."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

import pytest

from quorate.cluster.flush import flusher as flusher_module
from quorate.cluster.flush.flusher import Phase
from quorate.cluster.flush.flushers import Flushers
from quorate.processes.ports import free_ports
from quorate.sinks.mongo.sink import MongoSink
from quorate.sinks.sink import Fence, Sink, SinkError
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import apply, poll, votes
from tests.unit.flush.flushing import PAUSES_AFTER, Gate, flushing, flushing_to, run, seen
from tests.unit.sinks.sink_stores import SqliteStore


def test_stopping_flushes_once_more(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), store.sink()
        await apply(replica, poll())
        async with flushing(replica, store.sink(), interval_s=60.0) as flusher:
            await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
            await apply(replica, votes("happy", 3))
        assert {"happy": 3, "sad": 0} == seen(sink)
        assert Phase.STOPPED is flusher.phase

    run(scenario())


def test_stopping_ends_in_time_though_the_sink_hangs(store: SqliteStore) -> None:
    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll())
        sink.open.clear()
        async with flushing(replica, sink) as flusher:
            await until("a write hangs", lambda: sink.held)
            await asyncio.wait_for(flusher.stop(0.1), 10)
            await asyncio.wait_for(flusher.stop(0.1), 10)
            sink.open.set()

    run(scenario())


def test_a_sink_that_came_back_still_gets_the_last_flush(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher_module, "FAILING_STOP_S", 20.0)

    async def scenario() -> None:
        replica, sink = LocalReplica(), Gate(store.sink())
        await apply(replica, poll(), votes("happy"))
        sink.down = "no route to it"
        async with flushing(replica, sink, interval_s=60.0) as flusher:
            await until("it pauses", lambda: flusher.status()["failures"] == PAUSES_AFTER)
            sink.down = None
        assert {"happy": 1, "sad": 0} == seen(store.sink())

    run(scenario())


def test_a_flusher_that_never_started_stops(store: SqliteStore) -> None:
    async def scenario() -> None:
        await Flushers(LocalReplica(), [store.sink()]).stop()

    run(scenario())


# ---- a database that is known to be down -----------------------------------------------------------------------------


@contextmanager
def refusing() -> Iterator[int]:
    """A port at which nobody listens."""
    yield free_ports(1)[0]


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class KnownDown:
    """A real sink that fails at once until it is let through, so that the flusher knows early that it is down."""

    def __init__(self, sink: Sink) -> None:
        self.name, self.attempts, self.let_through = sink.name, 0, False
        self._sink = sink
        self.write, self.read, self.adopt, self.close = sink.write, sink.read, sink.adopt, sink.close

    def newest_foreign_fence(self, cluster_id: str, *, timeout_s: float) -> tuple[str, Fence] | None:
        if not self.let_through:
            raise SinkError("it is down")
        self.attempts += 1
        return self._sink.newest_foreign_fence(cluster_id, timeout_s=timeout_s)


@asynccontextmanager
async def trying(
    database: Callable[[], AbstractContextManager[int]],
) -> AsyncIterator[tuple[LocalReplica, Flushers]]:
    """A node whose database is known to be down, in the middle of one more attempt to reach it."""
    replica = LocalReplica()
    await apply(replica, poll())
    with database() as port:
        sink = KnownDown(MongoSink(f"mongodb://127.0.0.1:{port}"))
        async with flushing_to(replica, sink, timeout_s=60.0) as flushers:
            await until("it fails", lambda: flushers["mongo"].phase is Phase.RETRYING)
            sink.let_through = True
            await until("it tries again", lambda: sink.attempts)
            yield replica, flushers


@pytest.mark.parametrize("database", [refusing, silent])
def test_an_attempt_under_way_is_not_waited_for(database: Callable[[], AbstractContextManager[int]]) -> None:
    async def scenario() -> None:
        async with trying(database) as (_, flushers):
            await asyncio.wait_for(flushers.stop(60.0), 20)

    run(scenario())


@pytest.mark.parametrize("database", [refusing, silent])
def test_the_last_flush_is_short(database: Callable[[], AbstractContextManager[int]]) -> None:
    async def scenario() -> None:
        replica = LocalReplica()
        await apply(replica, poll())
        with database() as port:
            sink = KnownDown(MongoSink(f"mongodb://127.0.0.1:{port}"))
            async with flushing_to(replica, sink, interval_s=60.0, timeout_s=60.0) as flushers:
                flusher = flushers["mongo"]
                await until("it pauses", lambda: flusher.status()["failures"] == PAUSES_AFTER)
                sink.let_through = True
                await asyncio.wait_for(flusher.stop(60.0), 20)
                await until("the thread has ended", lambda: flusher.phase is Phase.STOPPED)
                assert 1 == sink.attempts

    run(scenario())


@pytest.mark.parametrize("database", [refusing, silent])
def test_a_node_that_handed_over_waits_for_no_attempt(database: Callable[[], AbstractContextManager[int]]) -> None:
    """The next leader writes everything, and what comes of the attempt is worth nothing."""

    async def scenario() -> None:
        async with trying(database) as (replica, flushers):
            replica.lead("n2")
            await until("it follows", lambda: flushers["mongo"].phase is Phase.IDLE)
            await asyncio.wait_for(flushers.stop(60.0), 20)

    run(scenario())


def test_a_database_that_was_never_reached_is_not_waited_for_long() -> None:
    async def scenario() -> None:
        replica = LocalReplica()
        await apply(replica, poll())
        with silent() as port:
            sink = KnownDown(MongoSink(f"mongodb://127.0.0.1:{port}"))
            sink.let_through = True
            async with flushing_to(replica, sink, timeout_s=60.0) as flushers:
                await until("it tries", lambda: sink.attempts)
                await asyncio.wait_for(flushers.stop(60.0), 20)

    run(scenario())


def test_an_attempt_that_fails_while_the_node_stops_is_the_last(store: SqliteStore) -> None:
    class FailsLate(KnownDown):
        def __init__(self, sink: Sink) -> None:
            super().__init__(sink)
            self.stops = threading.Event()

        def newest_foreign_fence(self, cluster_id: str, *, timeout_s: float) -> tuple[str, Fence] | None:
            self.attempts += 1
            assert self.stops.wait(30)
            raise SinkError("it is down")

    async def scenario() -> None:
        replica = LocalReplica()
        await apply(replica, poll())
        sink = FailsLate(store.sink())
        async with flushing_to(replica, sink) as flushers:
            await until("it tries", lambda: sink.attempts)
            asyncio.get_running_loop().call_later(0.1, sink.stops.set)
            await flushers.stop()
            await until("the thread has ended", lambda: flushers["sqlite"].phase is Phase.STOPPED)
            assert 1 == sink.attempts

    run(scenario())
