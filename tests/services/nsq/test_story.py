"""People put a poll into their database and publish votes for it at once. The votes come first, and all are counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.cluster import entry
from quorate.cluster.flush.flusher import Phase
from quorate.ingest import patience
from quorate.ingest.nsq.connection import NsqdConnection
from tests.services.nsq.counting import source, vote
from tests.services.nsq.servers import Servers
from tests.support.local_cluster import local_cluster
from tests.support.on_loop import on_loop
from tests.support.waiting import until
from tests.unit.flush.flushing import Gate, flushing, seen
from tests.unit.sinks.sink_stores import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "ballots.db")
    yield store
    store.close()


@on_loop
async def test_a_poll_and_its_votes_at_once(
    servers: Servers, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_MIN_S", 0.1)
    nsqd, counted = servers.nsqd(), await local_cluster()
    sink = Gate(store.sink(), refresh_s=3600)
    sink.watches = False
    async with (
        flushing(counted.replica, sink) as flusher,
        source(counted.submitter, nsqd, unknown_wait_s=60) as taking,
    ):
        await until("the first flush", lambda: flusher.phase is Phase.FLUSHING)
        nsqd.publish("votes", *[b"yes"] * 100, *[vote("no", f"u{i}", poll="tea") for i in range(50)])
        await until("the votes were there first", lambda: taking.metrics.deferred >= 1)
        store.insert("tea", options=["yes", "no"], results={"yes": 7})
        await until("all are counted", lambda: seen(sink, "tea") == {"yes": 107, "no": 50})
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
        assert (0, 0) == (taking.metrics.dead_letters, taking.metrics.not_deferred)


@on_loop
async def test_an_option_added_to_a_poll_and_its_votes_at_once(
    servers: Servers, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_MIN_S", 0.1)
    nsqd, counted = servers.nsqd(), await local_cluster()
    counted.replica.state.raise_level(entry.encode_raise(1))
    sink = Gate(store.sink(), refresh_s=3600)
    store.insert("tea", options=["yes", "no"])
    async with flushing(counted.replica, sink), source(counted.submitter, nsqd, unknown_wait_s=60) as taking:
        await until("it is imported", lambda: seen(sink, "tea") == {"yes": 0, "no": 0})
        sink.watches = False
        store.edit("tea", options=["yes", "no", "later"])
        nsqd.publish("votes", *[b"later"] * 100)
        await until("all are counted", lambda: seen(sink, "tea") == {"yes": 0, "no": 0, "later": 100})
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
        assert 0 == taking.metrics.dead_letters


@on_loop
async def test_a_flood_of_rubbish_is_put_off_in_few_writes(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    writes, send = list[bytes](), NsqdConnection.send

    def noting(connection: NsqdConnection, data: bytes) -> None:
        writes.append(data)
        send(connection, data)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(NsqdConnection, "send", noting)
    nsqd.publish("votes", *[b"rubbish"] * 1_000)
    async with source(counted.submitter, nsqd, unknown_wait_s=60, max_in_flight=1_000) as taking:
        await until("all wait", lambda: taking.metrics.deferred >= 1_000)
        assert 1_000 <= sum(data.count(b"REQ ") for data in writes)
    assert len(writes) < 200, "a write for each message holds up the loop"


@on_loop
async def test_rubbish_is_dead_after_its_wait_and_keeps_nothing_in_flight(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_MIN_S", 0.1)
    nsqd, counted = servers.nsqd(), await local_cluster()
    nsqd.publish("votes", *[b"rubbish"] * 300)
    async with source(counted.submitter, nsqd, unknown_wait_s=1, max_in_flight=20) as taking:
        await until("all wait at nsqd", lambda: taking.metrics.deferred >= 300)
        nsqd.publish("votes", *[b"happy"] * 100)
        await until("good ones are counted", lambda: counted.total == 100)
        await until("all are finished", lambda: nsqd.unfinished("votes", "counter") == 0)
        assert 300 == taking.metrics.dead_letters
