"""Where votes go: to the cluster by HTTP, or into a topic of NSQ. What `send` has returned is confirmed.

Both take part of the votes at once if all are too many: the size of a request follows the time that one takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from quorate.client.http import Client
from quorate.ingest.nsq.publisher import Publisher, batches, messages
from quorate.vote import Tallied, Vote

FIRST_VOTES, VOTES_MAX = 500, 4_000  # in one request; so many are below its limit of bytes, whatever their texts
SLOW_S, QUICK_S = 1.0, 0.25
NSQ_VOTES = 4_000


class Outlet(Protocol):
    name: str  # for people: the cluster, or the topic

    def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        """How many of the first votes are confirmed now, and what the cluster said of them. Raises `QuorateError`.

        The votes have ids. After an error the same are sent again: what has arrived then counts once.
        """
        ...

    def close(self) -> None: ...


class ClusterOutlet:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._votes = FIRST_VOTES
        self.name = "the cluster"

    def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        part = votes[: self._votes]
        began_s = time.monotonic()
        tallied = self._client.cast(part)
        took_s = time.monotonic() - began_s
        if took_s > SLOW_S:
            self._votes = max(1, len(part) // 2)
        elif took_s < QUICK_S and len(part) == self._votes:
            self._votes = min(2 * self._votes, VOTES_MAX)
        return len(part), tallied

    def close(self) -> None:
        self._client.close()


class NsqOutlet:
    """`publisher` makes one, of the nsqds that there are now: it is made anew after a failure."""

    def __init__(self, topic: str, publisher: Callable[[], Publisher], pack: int = 1) -> None:
        self._make, self._pack = publisher, pack
        self._publisher: Publisher | None = None
        self.name = f"topic {topic}"

    def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        part = votes[:NSQ_VOTES]
        self._publisher = self._publisher or self._make()
        try:
            for batch in batches(messages(part, self._pack)):
                self._publisher.publish(batch)
        except BaseException:
            self.close()
            raise
        return len(part), None

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
