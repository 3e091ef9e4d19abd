"""Where votes go: to the cluster by HTTP, or into a topic of NSQ. What `send` has returned is confirmed.

Both take part of the votes at once if all are too many: the size of a request follows the time that one takes.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from quorate.client.http import JsonClient
from quorate.errors import Invalid
from quorate.ingest.nsq.publisher import NoNsqd, Publisher, batches, messages
from quorate.vote import Tallied, Vote

log = logging.getLogger(__name__)

FIRST_VOTES, VOTES_MAX = 500, 4_000  # at once; so many are below a request's limit of bytes, whatever their texts
SLOW_S, QUICK_S = 1.0, 0.25


class Outlet(Protocol):
    name: str  # for people: the cluster, or the topic
    single: int  # votes of which there is one copy only, where two were wanted

    def check(self) -> None:
        """Raises `QuorateError` for what only a person can mend, as far as it can be told before there are votes."""
        ...

    def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        """How many of the first votes are confirmed now, and what the cluster said of them. Raises `QuorateError`.

        The votes have ids. After an error the same are sent again: what has arrived then counts once.
        """
        ...

    def close(self) -> None: ...


class _SendingPace:
    """How many votes go at once: what takes long is confirmed, and remembered, a few at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.votes = FIRST_VOTES

    @contextlib.contextmanager
    def sending(self, votes: int) -> Iterator[None]:
        """Measures how long these take."""
        began_s = self._clock()
        yield
        took_s = self._clock() - began_s
        if took_s > SLOW_S:
            self.votes = max(1, votes // 2)
        elif took_s < QUICK_S and votes == self.votes:
            self.votes = min(2 * self.votes, VOTES_MAX)


class ClusterOutlet:
    def __init__(self, client: JsonClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._pace = client, _SendingPace(clock)
        self.name, self.single = "the cluster", 0

    def check(self) -> None:
        """Whether votes may be sent: a node looks at the token before it finds that there are none."""
        with contextlib.suppress(Invalid):
            self._client.cast([])

    def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        part = votes[: self._pace.votes]
        with self._pace.sending(len(part)):
            return len(part), self._client.cast(part)

    def close(self) -> None:
        self._client.close()


class NsqOutlet:
    """`publisher` makes one, of the nsqds that there are now: it is made anew after a failure."""

    def __init__(
        self,
        topic: str,
        publisher: Callable[[], Publisher],
        pack: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._pack, self._pace = publisher, pack, _SendingPace(clock)
        self._publisher: Publisher | None = None
        self.name, self.single = f"topic {topic}", 0

    def check(self) -> None:
        """That there are enough nsqds. Whether they are up is not asked: votes wait for them."""
        with contextlib.suppress(NoNsqd):
            self._publisher = self._make()

    def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        part = votes[: self._pace.votes]
        self._publisher = publisher = self._publisher or self._make()
        single = publisher.single
        try:
            with self._pace.sending(len(part)):
                for batch in batches(messages(part, self._pack)):
                    publisher.publish(batch)
        except BaseException:
            self.close()
            raise
        finally:
            self._note(publisher.single - single)
        return len(part), None

    def _note(self, single: int) -> None:
        if single and not self.single:
            log.warning("of some votes only one nsqd has a copy: a second one takes none")
        self.single += single

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
