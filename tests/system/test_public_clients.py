"""The public clients while leaders die: every vote counts once, and events go on at another node.

The clients have their default retries, and make the ids themselves.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from quorate import AsyncClient, Client, PollResults
from quorate.client.followed import Event
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

THREADS, VOTES = 8, 1_600
OPTIONS = ["happy", "sad"]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all: each test ends with a whole one, and has a poll of its own."""
    with Cluster(tmp_path_factory.mktemp("clients")) as cluster:
        yield cluster


class Acknowledged:
    """How many votes were acknowledged, while they are cast on other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.applied = 0

    def add(self, applied: int) -> None:
        with self._lock:
            self.applied += applied


def kill_in_the_middle(cluster: Cluster, seen: Acknowledged) -> None:
    """On the test's own thread: a node ends with the thread that started it."""
    cluster.wait_for("a third is counted", lambda: seen.applied >= VOTES // 3 or None)
    leader = cluster.leader()
    leader.kill()
    cluster.leader(other_than=leader)
    cluster.wait_for("two thirds are counted", lambda: seen.applied >= 2 * VOTES // 3 or None)
    leader.start()
    cluster.wait_ready()


@pytest.mark.timeout(180)
def test_threads_vote_through_the_death_of_the_leader(standing: Cluster) -> None:
    seen = Acknowledged()
    with Client(standing.urls) as client, ThreadPoolExecutor(THREADS) as pool:
        client.create_poll("threads", OPTIONS)

        def cast(_: int) -> None:
            told = client.vote("happy", poll="threads")
            seen.add(told.applied + told.duplicates)

        voting = [pool.submit(cast, number) for number in range(VOTES)]
        kill_in_the_middle(standing, seen)
        for each in voting:
            each.result()
        assert {"happy": VOTES, "sad": 0} == client.results("threads").results
        assert VOTES == seen.applied


@pytest.mark.timeout(180)
def test_tasks_vote_in_batches_and_a_session_through_the_death_of_the_leader(standing: Cluster) -> None:
    seen, batch = Acknowledged(), 5
    rounds = VOTES // batch // 4

    async def main() -> None:
        async with AsyncClient(standing.urls) as client:
            await client.create_poll("tasks", OPTIONS)
            session = await client.session("ordered")

            async def batches() -> None:
                for _ in range(rounds):
                    told = await client.votes(["happy"] * batch, poll="tasks")
                    seen.add(told.applied + told.duplicates)

            async def ordered() -> None:
                for _ in range(rounds):
                    told = await session.send(["sad"] * batch, poll="tasks")
                    seen.add(told.applied + told.duplicates)

            await asyncio.gather(batches(), batches(), batches(), ordered())
            assert rounds == session.sequence
            assert {"happy": 3 * VOTES // 4, "sad": VOTES // 4} == (await client.results("tasks")).results
            assert {asyncio.current_task()} == asyncio.all_tasks()

    with ThreadPoolExecutor(1) as pool:
        voting = pool.submit(asyncio.run, main())
        kill_in_the_middle(standing, seen)
        voting.result()


class Following:
    """Reads events on a thread of its own."""

    def __init__(self, client: Client, poll: str) -> None:
        self.events: list[Event] = []
        self._stream = client.events(poll)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for event in self._stream:
            self.events.append(event)

    def end(self) -> None:
        self._stream.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def total(self) -> int:
        last = self.events[-1] if self.events else None
        return last.total if isinstance(last, PollResults) else -1


@pytest.mark.timeout(180)
def test_events_go_on_at_another_node_and_never_back(standing: Cluster) -> None:
    totals: list[int] = []

    async def follow() -> None:
        async with AsyncClient(standing.urls) as client, client.events("followed") as events:
            async for event in events:
                assert isinstance(event, PollResults)
                totals.append(event.total)
                if event.total == 3:
                    return

    with Client(standing.urls) as client, ThreadPoolExecutor(1) as pool:
        client.create_poll("followed", OPTIONS)
        following, other = Following(client, "followed"), pool.submit(asyncio.run, follow())

        def wait_until_seen(total: int) -> None:
            wait_for(f"both see {total}", lambda: following.total == total and totals[-1:] == [total])

        wait_until_seen(0)
        for number, node in enumerate(standing.nodes[:2], start=1):  # those that are asked first
            client.vote("happy", poll="followed")
            wait_until_seen(number)
            node.kill()
            standing.leader(other_than=node)
            node.start()
            standing.wait_ready()
        client.vote("happy", poll="followed")
        wait_until_seen(3)
        other.result()
        following.end()
    versions = [event.version for event in following.events]
    assert sorted(set(versions)) == versions
    assert [0, 1, 2, 3] == totals


def test_a_client_reads_its_own_votes_from_any_node(standing: Cluster) -> None:
    with Client(standing.urls) as client:
        client.create_poll("own", OPTIONS)
        for number in range(1, 31):
            client.vote("happy", poll="own")
            node = standing.nodes[number % len(standing.nodes)]
            with Client(node.url) as reader:
                tally = reader.results("own", level="none", min_version=client.version)
            assert number == tally.total
