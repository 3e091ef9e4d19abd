"""Programs that vote by redis-py as it comes: nobody here tries anything again, redis-py does that by itself.

Some vote one by one, some by pipelines with and without a transaction; in threads, by asyncio, and as clients of a
cluster; half of them by RESP2, half by RESP3.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import traceback
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster

from tests.support.history import History
from tests.support.waiting import wait_for

HOST = "127.0.0.1"
POLL = "mood"
KEY = f"poll:{POLL}"
OPTIONS = ["happy", "sad", "🙂", "$"]
AT_ONCE, AGAIN_AT_ONCE = 4, 1_000  # votes of a pipeline
HOW = (None, True, False)  # one by one; by a pipeline with a transaction; by one without
FINISH_S = 150.0  # redis-py waits up to ten seconds before each of ten tries

Entry = tuple[str, str, str]  # producer, iid, option


class RedisVoters:
    """`start`, then `finish`. What they were told is in `history`, by producer and iid."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = ports
        self.history = History({})
        self.entries: dict[str, Entry] = {}  # by id: all that were sent
        self.failures: list[BaseException] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._in_thread, args=(n,), daemon=True) for n in range(9)]
        self._threads += [threading.Thread(target=self._in_loop, daemon=True)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait_for_votes(self, more: int) -> None:
        """Until so many more votes were confirmed."""
        goal = len(self.history.acknowledged) + more
        wait_for(
            f"{more} more votes are confirmed",
            lambda: self.failures or len(self.history.acknowledged) >= goal,
            deadline_s=60,
            seen=lambda: str(self.history.attempts),
        )

    def finish(self) -> None:
        """Each program ends after the call that it is in."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(FINISH_S)
        assert not any(thread.is_alive() for thread in self._threads)
        assert not self.failures, "\n".join("".join(traceback.format_exception(e)) for e in self.failures)
        self.history.votes = {id: option for id, (_, _, option) in self.entries.items()}

    def send_again(self, ids: Sequence[str]) -> None:
        """By a client that nobody disturbs."""
        with redis.Redis(HOST, self.ports[0]) as client, client.pipeline(transaction=False) as pipeline:
            for start in range(0, len(ids), AGAIN_AT_ONCE):
                _fill(pipeline, [self.entries[id] for id in ids[start : start + AGAIN_AT_ONCE]])
                pipeline.execute()

    # ---- one program ------------------------------------------------------------------------------------------------

    def _in_thread(self, number: int) -> None:
        """Each node has two of these; three are clients of the cluster."""
        transaction, protocol = HOW[number % 3], 2 + number % 2
        client: Any
        if number < 6:
            client = redis.Redis(HOST, self.ports[number % 3], protocol=protocol)
        else:
            nodes = [redis.cluster.ClusterNode(HOST, port) for port in self.ports]
            client = redis.RedisCluster(startup_nodes=nodes, protocol=protocol)
        try:
            for batch in self._batches(f"thread-{number}", transaction):
                with self._told(batch) as answers:
                    answers += self._cast(client, batch, transaction)
        except BaseException as error:
            self.failures.append(error)
        finally:
            client.close()

    def _cast(self, client: Any, batch: list[Entry], transaction: bool | None) -> list[Any]:
        if transaction is None:
            ((producer, iid, option),) = batch
            return [client.xadd(KEY, {"option": option}, idmp=(producer, iid.encode()))]
        with client.pipeline(transaction=transaction) as pipeline:
            _fill(pipeline, batch)
            return list(pipeline.execute(raise_on_error=False))

    def _in_loop(self) -> None:
        try:
            asyncio.run(self._all_tasks())
        except BaseException as error:
            self.failures.append(error)

    async def _all_tasks(self) -> None:
        await asyncio.gather(*(self._task(number) for number in range(9)))

    async def _task(self, number: int) -> None:
        transaction, protocol = HOW[number % 3], 2 + number % 2
        client: Any
        if number < 6:
            client = redis.asyncio.Redis(host=HOST, port=self.ports[number % 3], protocol=protocol)
        else:
            nodes = [redis.asyncio.cluster.ClusterNode(HOST, port) for port in self.ports]
            client = redis.asyncio.RedisCluster(startup_nodes=nodes, protocol=protocol)
        try:
            for batch in self._batches(f"task-{number}", transaction):
                with self._told(batch) as answers:
                    answers += await self._cast_async(client, batch, transaction)
        finally:
            await client.aclose()

    async def _cast_async(self, client: Any, batch: list[Entry], transaction: bool | None) -> list[Any]:
        if transaction is None:
            ((producer, iid, option),) = batch
            return [await client.xadd(KEY, {"option": option}, idmp=(producer, iid.encode()))]
        async with client.pipeline(transaction=transaction) as pipeline:
            _fill(pipeline, batch)
            return list(await pipeline.execute(raise_on_error=False))

    # ---- what is sent, and what was told ----------------------------------------------------------------------------

    def _batches(self, producer: str, transaction: bool | None) -> Any:
        numbers = itertools.count()
        while not self._stopping.is_set():
            size = 1 if transaction is None else AT_ONCE
            yield [(producer, str(n), OPTIONS[n % 7 % len(OPTIONS)]) for n in itertools.islice(numbers, size)]

    @contextlib.contextmanager
    def _told(self, batch: list[Entry]) -> Any:
        """Notes what redis-py answers for each vote; what it raises stands for all."""
        ids = [f"{producer} {iid}" for producer, iid, _ in batch]
        self.entries.update(zip(ids, batch, strict=True))
        answers: list[Any] = []
        try:
            yield answers
        except (redis.RedisError, OSError) as error:
            answers[:] = [error] * len(ids)
        for id, answer in zip(ids, answers, strict=True):
            if isinstance(answer, bytes):
                self.history.acknowledge(id, 0, 1)  # whether it was counted before, no answer says
            else:
                self.history.attempt(f"{self.entries[id][0]} {type(answer).__name__}: {answer}"[:120])


def _fill(pipeline: Any, batch: list[Entry]) -> None:
    for producer, iid, option in batch:
        pipeline.xadd(KEY, {"option": option}, idmp=(producer, iid.encode()))
