"""Clients that cast votes with ids over all nodes, and send one again, with its id, until it is acknowledged.

They are as simple as an honest client can be, and share no code with the client that Quorate ships: a bug in its
retries must not hide one in the cluster. Answers are written into a `History`. One thread runs them all.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from tests.system.history import History
from tests.waiting import wait_for

ANSWER_TIMEOUT_S = 3.0
PAUSE_S = 0.02
HEAD = "POST /votes HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
AGAIN = {429, 503, 504}  # what an honest client sends again


def sends(ids: Iterable[str], *, twice: float = 0.03, seed: int = 0) -> list[str]:
    """The ids in an order of their own, a share of them a second time somewhere later."""
    chance = random.Random(seed)
    order = list(ids)
    for vote_id in chance.sample(order, int(len(order) * twice)):
        order.insert(chance.randrange(order.index(vote_id) + 1, len(order) + 1), vote_id)
    return order


class Voters:
    """`start`, `wait_until` a share of the votes is acknowledged, `finish`; `stop` gives up on the rest."""

    def __init__(
        self, urls: Sequence[str], history: History, order: Sequence[str], *, clients: int = 16, seed: int = 0
    ) -> None:
        self.places = [(parts.hostname or "127.0.0.1", parts.port or 80) for parts in map(urlsplit, urls)]
        self.history = history
        self.total = len(set(order))
        self._order = iter(list(order))
        self._clients, self._seed = clients, seed
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._vote, name="voters", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_until(self, share: float, *, deadline_s: float = 90.0) -> None:
        goal = int(self.total * share)
        wait_for(
            f"{goal} votes are acknowledged",
            lambda: len(self.history.acknowledged) >= goal or not self._thread.is_alive(),
            deadline_s=deadline_s,
            seen=self.seen,
        )

    def finish(self, *, deadline_s: float = 120.0) -> None:
        """Wait until every vote is acknowledged."""
        wait_for("all votes are cast", lambda: not self._thread.is_alive(), deadline_s=deadline_s, seen=self.seen)
        if self._error:
            raise self._error

    def stop(self) -> None:
        """End now, with votes whose outcome is open."""
        self._stopping.set()
        self.finish(deadline_s=ANSWER_TIMEOUT_S + 10)

    def seen(self) -> str:
        return f"acknowledged {len(self.history.acknowledged)} of {self.total}; attempts {dict(self.history.attempts)}"

    def _vote(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:
            self._error = error

    async def _run(self) -> None:
        await asyncio.gather(*(self._voter(random.Random(f"{self._seed}.{i}"), i) for i in range(self._clients)))

    async def _voter(self, chance: random.Random, number: int) -> None:
        connection = Connection(self.places, number, chance)
        for vote_id in self._shared_order():
            while not self._stopping.is_set() and not await self._cast(connection, vote_id):
                await connection.move()
        connection.close()

    def _shared_order(self) -> Iterator[str]:
        while not self._stopping.is_set() and (vote_id := next(self._order, None)) is not None:
            yield vote_id

    async def _cast(self, connection: Connection, vote_id: str) -> bool:
        """Send the vote once; whether it is settled."""
        try:
            status, body = await connection.post({"option": self.history.votes[vote_id], "id": vote_id})
        except (OSError, EOFError, TimeoutError) as error:
            self.history.attempt(type(error).__name__)
            return False
        if status == 200:
            self.history.acknowledge(vote_id, body["applied"], body["duplicates"])
            return True
        if status in AGAIN:
            self.history.attempt(str(status))
            return False
        self.history.wonder(f"{vote_id}: {status} {body}")
        return True


class Connection:
    """One keep-alive connection to some node; `move` goes on to another."""

    def __init__(self, places: Sequence[tuple[str, int]], first: int, chance: random.Random) -> None:
        self.places, self.at, self.chance = places, first % len(places), chance
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def post(self, vote: dict[str, str]) -> tuple[int, dict[str, int]]:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            if self.reader is None or self.writer is None:
                self.reader, self.writer = await asyncio.open_connection(*self.places[self.at])
            body = json.dumps(vote).encode()
            self.writer.write(HEAD.format(len(body)).encode() + body)
            answer = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            size = int(answer.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            return int(answer.split()[1]), json.loads(await self.reader.readexactly(size))

    async def move(self) -> None:
        self.close()
        self.at = self.chance.randrange(len(self.places))
        await asyncio.sleep(PAUSE_S)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None
