"""Two sinks at once: MongoDB over a connection that is cut, and SQLite. In the end both are exact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.cluster.flush.flusher import Phase
from quorate.vote import Vote
from tests.services.mongo_store import MongoStore
from tests.services.relay import Relay, address_of
from tests.support.cluster import Cluster
from tests.support.local_replica import LocalReplica
from tests.support.waiting import until, wait_for
from tests.unit.flush.commands import apply, poll, votes
from tests.unit.flush.flushing import flushing_to, run, seen
from tests.unit.sinks.sink_stores import SqliteStore

OPTIONS = ["happy", "sad"]


@pytest.fixture
def mongo() -> Iterator[MongoStore]:
    store = MongoStore()
    yield store
    store.close()


@pytest.fixture
def relay(mongo: MongoStore) -> Iterator[Relay]:
    with Relay(address_of(mongo.url)) as relay:
        yield relay


def url_of(relay: Relay) -> str:
    return f"mongodb://127.0.0.1:{relay.port}/?directConnection=true"


def test_sqlite_goes_on_while_mongodb_is_cut_off_and_both_are_exact_at_last(
    mongo: MongoStore, relay: Relay, tmp_path: Path
) -> None:
    async def scenario() -> None:
        replica, sqlite = LocalReplica(), SqliteStore(tmp_path / "ballots.db")
        await apply(replica, poll(), poll("quiet", ["p", "q"]), votes("p", 5))
        mongo.insert("tea", options=["yes", "no"], results={"yes": 4})
        try:
            async with flushing_to(replica, mongo.sink(url_of(relay)), sqlite.sink(), timeout_s=2.0) as flushers:
                await until("both flush", lambda: all(flushers.caught_up(name)[0] for name in ("mongo", "sqlite")))
                await until("the import is in SQLite", lambda: seen(sqlite.sink(), "tea") == {"yes": 4, "no": 0})
                relay.cut()
                await apply(replica, votes("happy", 7), votes("yes"))
                await until("it is noticed", lambda: flushers["mongo"].phase is Phase.RETRYING)
                await until("SQLite goes on", lambda: seen(sqlite.sink()) == {"happy": 7, "sad": 0})
                assert not flushers.caught_up("mongo")[0]
                await until("the flusher of SQLite knows", lambda: flushers.caught_up("sqlite")[0])
                mongo.empty()  # it comes back as an empty one
                relay.join()
                await until("MongoDB has everything", lambda: flushers.caught_up("mongo")[0])
            for sink in (mongo.sink(), sqlite.sink()):
                assert [{"happy": 7, "sad": 0}, {"p": 5, "q": 0}, {"yes": 5, "no": 0}] == [
                    seen(sink, id) for id in ("mood", "quiet", "tea")
                ]
        finally:
            sqlite.close()

    run(scenario())


@pytest.mark.timeout(240)
def test_nodes_that_are_killed_write_both_sinks_exactly(mongo: MongoStore, relay: Relay, tmp_path: Path) -> None:
    settings = {
        "flush.sinks": ["mongo", "sqlite"],
        "flush.timeout_ms": 2_000,
        "mongo.url": url_of(relay),
        "mongo.database": mongo.database,
    }
    with Cluster(tmp_path, settings=settings) as cluster, cluster.client() as client:
        client.create_poll("mood", OPTIONS)
        cast = [Vote(option=OPTIONS[number % 2], id=f"v{number}") for number in range(3_000)]

        def in_mongo() -> dict[str, int] | None:
            document = mongo.stored("mood")
            return None if document is None else document["results"]

        client.cast(cast[:1_000])
        wait_for("MongoDB has them", lambda: in_mongo() == {"happy": 500, "sad": 500})
        relay.cut()
        client.cast(cast[:2_000])  # the first thousand again
        wait_for("SQLite goes on", lambda: cluster.in_sqlite("mood") == {"happy": 1_000, "sad": 1_000})
        assert {"happy": 500, "sad": 500} == in_mongo()
        wait_for("a line for each sink", lambda: says_that_mongo_alone_is_behind(cluster))

        victim = cluster.leader()
        victim.kill()
        cluster.leader(other_than=victim)
        client.cast(cast)
        wait_for("SQLite has all", lambda: cluster.in_sqlite("mood") == {"happy": 1_500, "sad": 1_500})
        relay.join()
        wait_for("MongoDB has all", lambda: in_mongo() == {"happy": 1_500, "sad": 1_500})
        shown = cluster.leader().get("/status")
        assert shown is not None
        assert (["mongo", "sqlite"], "mongo") == (list(shown["sinks"]), shown["flush"]["sink"])


def says_that_mongo_alone_is_behind(cluster: Cluster) -> bool:
    status, body, _ = cluster.leader().ask("GET", "/readyz?sync")
    sinks = [" ".join(line.split()[:2]) for line in body.decode().splitlines() if " flush:" in line]
    return (503, ["[-] flush:mongo", "[+] flush:sqlite"]) == (status, sinks)
