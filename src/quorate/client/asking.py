"""One request, from its first attempt to its answer or its verdict: which node, how long, what after a failure.

It does no I/O, so the client with threads (`asker.py`) and the one for asyncio (`async_asker.py`) follow one rule:

    asking = Asking(...)
    while True:
        attempt = asking.begin()
        try: send it, and return the answer
        except QuorateError as error: wait for asking.failed(error) seconds
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quorate.client.attempts import FailedAttempts
from quorate.client.calls import Call
from quorate.client.error_replies import worth_another_try
from quorate.errors import Invalid, QuorateError

CONNECT_TIMEOUT_S = 2.0
NODE_ANSWERS_S = 6.0  # a node without a leader answers after http.timeout_ms, 5 s; wait for its "surely not"
OF_ITSELF_S = 3.0  # for what a node answers by itself, while others are left: with a peer that hangs it takes 2 s
SHARE_OF_ONE = 0.6  # of the time for one node, so that a node that hangs leaves time for the others
ATTEMPT_S = 0.05  # the least that an attempt is given


@dataclass(frozen=True, slots=True)
class RetryTimes:
    """`unreached_s`: give up after this time if no node can be reached. `waits_for_rate`: where the token's rate
    refuses a request, wait for as long as the rate wants, beside `timeout_s`."""

    timeout_s: float
    unreached_s: float
    waits_for_rate: bool = False


@dataclass(frozen=True, slots=True)
class NextAttempt:
    node: str
    connect_s: float
    answer_s: float


class NodeUrls:
    """The nodes that a client knows, and which of them answered last. Threads may share it.

    `find` looks for the nodes, in Consul: when the first request is sent, and again while none of them is reached.
    """

    def __init__(self, urls: Sequence[str] = (), find: Callable[[], Sequence[str]] | None = None) -> None:
        if not urls and find is None:
            raise Invalid("no node was given; give at least one URL, as http://127.0.0.1:8001")
        self.find = find
        self._lock = threading.Lock()
        self._urls, self._first = tuple(urls), 0

    @property
    def urls(self) -> tuple[str, ...]:
        return self._urls

    def replace(self, urls: Sequence[str]) -> None:
        with self._lock:
            self._urls, self._first = tuple(urls), 0

    def in_turn(self) -> list[str]:
        """All nodes, beginning with the one that answered last."""
        with self._lock:
            return [*self._urls[self._first :], *self._urls[: self._first]]

    def prefer(self, url: str) -> None:
        with self._lock:
            if url in self._urls:
                self._first = self._urls.index(url)


class Asking:
    def __init__(self, call: Call[object], nodes: NodeUrls, patience: RetryTimes, clock: Callable[[], float]) -> None:
        self._known, self._nodes, self._at = nodes, nodes.in_turn(), 0
        self._patience, self._clock = patience, clock
        self._changes = "" if call.reads else call.path
        self._asks_the_node = call.asks_the_node
        self._failed = FailedAttempts(self._nodes, reads=call.reads)
        self._begin_s = self._start_s = clock()
        self._deadline_s = self._begin_s + patience.timeout_s

    def begin(self) -> NextAttempt:
        self._start_s = self._clock()
        left_s = self._deadline_s - self._start_s
        timeout_s = self._patience.timeout_s
        share_s = min(timeout_s * SHARE_OF_ONE, max(NODE_ANSWERS_S, timeout_s / 3))
        if self._asks_the_node and not self._failed.asked_all:
            share_s = min(share_s, OF_ITSELF_S)
        answer_s = max(ATTEMPT_S, min(left_s, share_s if len(self._nodes) > 1 else left_s))
        return NextAttempt(self._nodes[self._at], max(ATTEMPT_S, min(left_s, CONNECT_TIMEOUT_S)), answer_s)

    def answered(self) -> None:
        self._known.prefer(self._nodes[self._at])

    def failed(self, error: QuorateError) -> float:
        """Seconds until the next attempt. Raises the error, or what all attempts mean together, if there is none."""
        if not worth_another_try(error):
            self.answered()
            raise error.about(self._changes) from None
        self._failed.add(error, self._clock() - self._start_s)
        pause_s = self._failed.pause_s()
        if self._patience.waits_for_rate and self._failed.was_over_rate:
            self._deadline_s += pause_s
        end_s = self._deadline_s if self._failed.reached else self._begin_s + self._patience.unreached_s
        if self._clock() + pause_s + self._failed.answer_s() >= end_s:
            raise self._failed.verdict().about(self._changes) from None
        self._at = (self._at + 1) % len(self._nodes)
        self._known.prefer(self._nodes[self._at])
        return pause_s

    @property
    def wants_nodes(self) -> bool:
        """Whether nobody was reached, so that the nodes should be looked for again."""
        return self._known.find is not None and self._at == 0 and not self._failed.reached

    def go_on_with(self, urls: Sequence[str]) -> None:
        self._known.replace(urls)
        self._nodes, self._at = self._known.in_turn(), 0
        self._failed.nodes = self._nodes
