"""A flush under test: one loop, a local replica, and a real sink behind a gate that can hold and fail it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from quorate.cluster.entry import Command
from quorate.cluster.flush.flusher import Flusher, Phase
from quorate.cluster.flush.flushers import Flushers
from quorate.cluster.flush.sink_status import ImportStatus
from quorate.sinks.importable import ImportableSink, ManualPoll, Unreadable
from quorate.sinks.sink import Fence, PollDocument, Sink, SinkError, WriteOutcome
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until
from tests.unit.flush.commands import apply
from tests.unit.sinks.sink_stores import DocumentSink, Store

INTERVAL_S = 0.02
PAUSES_AFTER = 2  # failures: the beginning of a leadership wakes a flusher once more


class Gate:
    """A sink that passes everything on to a real one, unless it is told to fail, or to hold writes back."""

    def __init__(self, sink: DocumentSink, *, name: str | None = None, refresh_s: float | None = None) -> None:
        self.sink, self.name = sink, name or sink.name
        self.refresh_s = sink.refresh_s if refresh_s is None else refresh_s
        self.down: str | None = None  # what it says while it cannot be reached
        self.open = threading.Event()
        self.open.set()
        self.held = 0
        self.watches = True  # False: it cannot tell of changes, as a MongoDB without change streams
        self.writes: list[tuple[Fence, dict[str, WriteOutcome]]] = []

    def _pass(self) -> None:
        if self.down is not None:
            raise SinkError(self.down)

    def write(
        self, documents: Sequence[PollDocument], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> dict[str, WriteOutcome]:
        self._pass()
        if not self.open.is_set():
            documents = [_still(document) for document in documents]
            self.held += 1
            assert self.open.wait(60), "nobody opened the gate"
        outcomes = self.sink.write(documents, fence, cluster_id, timeout_s=timeout_s)
        self.writes.append((fence, outcomes))
        return outcomes

    def find(self, *, timeout_s: float) -> tuple[list[ManualPoll], list[Unreadable]]:
        self._pass()
        return self.sink.find(timeout_s=timeout_s)

    def find_longer(self, sizes: Mapping[str, int], cluster_id: str, *, timeout_s: float) -> Mapping[str, list[str]]:
        self._pass()
        return self.sink.find_longer(sizes, cluster_id, timeout_s=timeout_s)

    def touched(self, *, timeout_s: float) -> bool:
        self._pass()
        return self.watches and self.sink.touched(timeout_s=timeout_s)

    def deviations(self, written: Mapping[str, str | None], cluster_id: str, *, timeout_s: float) -> Collection[str]:
        self._pass()
        return self.sink.deviations(written, cluster_id, timeout_s=timeout_s)

    def mark_deleted(
        self, polls: Mapping[str, int], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> Collection[str]:
        self._pass()
        return self.sink.mark_deleted(polls, fence, cluster_id, timeout_s=timeout_s)

    def newest_foreign_fence(self, cluster_id: str, *, timeout_s: float) -> tuple[str, Fence] | None:
        self._pass()
        return self.sink.newest_foreign_fence(cluster_id, timeout_s=timeout_s)

    def adopt(self, cluster_id: str, *, timeout_s: float) -> int:
        self._pass()
        return self.sink.adopt(cluster_id, timeout_s=timeout_s)

    def read(self, *, timeout_s: float) -> dict[str, PollDocument]:
        return self.sink.read(timeout_s=timeout_s)

    def close(self) -> None:
        self.sink.close()


def _still(document: PollDocument) -> PollDocument:
    """As it was when it was handed over: what is on its way to a database does not change any more."""
    return replace(document, results=dict(document.results))


class PlainSink:
    """A sink that cannot import: it passes on what the smaller Protocol has, to a real sink."""

    def __init__(self, sink: Sink, name: str = "plain") -> None:
        self._sink, self.name = sink, name
        self.write, self.read, self.adopt = sink.write, sink.read, sink.adopt
        self.newest_foreign_fence, self.close = sink.newest_foreign_fence, sink.close


@asynccontextmanager
async def flushing(replica: LocalReplica, sink: ImportableSink, **settings: Any) -> AsyncIterator[Flusher]:
    """With one sink."""
    async with flushing_to(replica, sink, **settings) as flushers:
        yield flushers[sink.name]


class Flushed(NamedTuple):
    replica: LocalReplica
    sink: Gate
    flusher: Flusher


@asynccontextmanager
async def flushed(store: Store, *commands: Command, **settings: Any) -> AsyncIterator[Flushed]:
    """A replica that has applied the commands, and whose first flush into this store is done."""
    replica, sink = LocalReplica(), Gate(store.sink())
    await apply(replica, *commands)
    async with flushing(replica, sink, **settings) as flusher:
        await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
        yield Flushed(replica, sink, flusher)


@asynccontextmanager
async def flushing_to(replica: LocalReplica, *sinks: Sink, **settings: Any) -> AsyncIterator[Flushers]:
    flushers = Flushers(replica, sinks, **{"interval_s": INTERVAL_S, "timeout_s": 10.0, **settings})
    flushers.start()
    try:
        yield flushers
    finally:
        await flushers.stop()


def seen(sink: Sink, id: str = "mood") -> dict[str, int] | None:
    document = sink.read(timeout_s=10).get(id)
    return None if document is None else dict(document.results)


def shows(sink: Sink, id: str, option: str, count: int) -> bool:
    return (seen(sink, id) or {}).get(option) == count


def import_status(flusher: Flusher) -> ImportStatus:
    """Of a sink that imports."""
    status = flusher.status()["import"]
    assert status is not None
    return status


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)
