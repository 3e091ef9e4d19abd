"""Clients that send votes with ids to all nodes, and send each vote again, with the same id, until it is acknowledged.

They are as simple as a correct client can be. They share no code with the client of Quorate, so that a bug in its
retries cannot hide a bug in the cluster. Answers are written into a `History`. All clients run on one thread.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from urllib.parse import urlsplit

from tests.support.history import History
from tests.support.waiting import wait_for

ANSWER_TIMEOUT_S = 3.0
PAUSE_S = 0.02
HEAD = "POST /votes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
AGAIN = {429, 503, 504}  # after these answers a correct client sends the vote again


def sends(ids: Iterable[str], *, twice: float = 0.03, seed: int = 0, within: int | None = None) -> list[str]:
    """The ids, with the share `twice` of them a second time later: anywhere later, or at most `within` votes later."""
    chance = random.Random(seed)
    places = list(enumerate(ids))
    again = chance.sample(places, int(len(places) * twice))
    end = len(places) if within is None else within
    later = [(chance.uniform(place, min(len(places), place + end)), vote_id) for place, vote_id in again]
    return [vote_id for _, vote_id in sorted([*places, *later], key=itemgetter(0))]


class Voters:
    """Call `start`, then `wait_until` a share of the votes is acknowledged, then `finish`, or `stop` to give up.

    If `goal` is less than the number of votes, the clients go on after the goal until `enough` is called.
    """

    def __init__(
        self,
        urls: Sequence[str],
        history: History,
        order: Sequence[str],
        *,
        clients: int = 16,
        seed: int = 0,
        goal: int | None = None,
    ) -> None:
        self.places = [(parts.hostname or "127.0.0.1", parts.port or 80) for parts in map(urlsplit, urls)]
        self.history = history
        self.total = len(set(order)) if goal is None else goal
        self.begun: set[str] = set()
        self._order = iter(list(order))
        self._clients, self._seed = clients, seed
        self._stopping = threading.Event()
        self._enough = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._vote, name="voters", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def share(self) -> float:
        """The share of the votes that is acknowledged."""
        return len(self.history.acknowledged) / self.total

    def wait_until(self, share: float, *, deadline_s: float = 90.0) -> None:
        goal = int(self.total * share)
        wait_for(
            f"{goal} votes are acknowledged",
            lambda: len(self.history.acknowledged) >= goal or not self.voting,
            deadline_s=deadline_s,
            seen=self.seen,
        )

    @property
    def voting(self) -> bool:
        return self._thread.is_alive()

    def enough(self) -> None:
        """Once the goal is reached, begin no more votes."""
        self._enough.set()

    def finish(self, *, deadline_s: float = 120.0) -> None:
        """Wait until each vote that was begun is acknowledged."""
        wait_for("all votes are cast", lambda: not self.voting, deadline_s=deadline_s, seen=self.seen)
        if self._error:
            raise self._error

    def stop(self) -> None:
        """End now. The outcome of some votes stays unknown."""
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
        while not self._stopping.is_set() and not (self._enough.is_set() and self.share >= 1):
            if (vote_id := next(self._order, None)) is None:
                return
            self.begun.add(vote_id)
            yield vote_id

    async def _cast(self, connection: Connection, vote_id: str) -> bool:
        """Send the vote once. Returns whether it need not be sent again."""
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
    """A keep-alive connection to one node. `move` changes to another node."""

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
