"""The attempts of one request that gave no answer: when to try again, and what they mean together."""

from __future__ import annotations

import random
from collections.abc import Sequence

from quorate.client.error_replies import Unreached
from quorate.errors import NoLeader, OverRate, QuorateError

BACKOFF_S, BACKOFF_MAX_S = 0.05, 0.5
NO_NEEDS_S = 0.25  # also a node that said "no" at once may be late the next time


class FailedAttempts:
    """`reads`: the request only reads."""

    def __init__(self, nodes: Sequence[str], *, reads: bool) -> None:
        self.nodes = nodes  # others, if they were found anew
        self._reads = reads
        self._tries = 0
        self._last: QuorateError | None = None
        self._answer: QuorateError | None = None  # the last one of a node that was reached
        self._doubt: QuorateError | None = (
            None  # after an attempt that may have had an effect, "surely not" is no longer true
        )
        self._slowest_no_s = 0.0

    def add(self, error: QuorateError, took_s: float) -> None:
        self._tries += 1
        self._last = error
        if not isinstance(error, Unreached):
            self._answer = error
        if error.definite:
            self._slowest_no_s = max(self._slowest_no_s, took_s)
        else:
            self._doubt = error

    @property
    def reached(self) -> bool:
        return self._answer is not None

    @property
    def asked_all(self) -> bool:
        return self._tries >= len(self.nodes)

    @property
    def was_over_rate(self) -> bool:
        """Whether the last attempt was refused because of the rate of the token, or of the address."""
        return isinstance(self._last, OverRate)

    def pause_s(self) -> float:
        """0 until each node was asked once. Then the cluster gets time to elect a leader, or to empty its queue."""
        assert self._last is not None
        if self._tries % len(self.nodes):
            return 0.0
        backoff_s = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** min(self._tries // len(self.nodes), 10))
        if self._last.status == 429:
            backoff_s = max(backoff_s, float(self._last.fields.get("retry_after_s", 0.0)))
        return float(backoff_s * random.uniform(0.7, 1.0))

    def answer_s(self) -> float:
        """How long the next attempt may need. With less time left it is not begun: if it were cut off, its effect would
        be unknown, and "surely not" could no longer be said."""
        return max(NO_NEEDS_S, self._slowest_no_s) if self.asked_all and not self._doubt else 0.0

    def verdict(self) -> QuorateError:
        assert self._last is not None
        if self._answer is None:
            return Unreached(self._last.detail if len(self.nodes) == 1 else self._none_reached())
        if self._reads and self._doubt:  # a read changes nothing, answered or not
            return NoLeader(self._doubt.detail)
        return self._doubt or self._answer  # what a node said, though others were silent after it

    def _none_reached(self) -> str:
        assert self._last is not None
        why = self._last.detail.partition(" cannot be reached: ")[2]
        return f"none of {', '.join(self.nodes)} can be reached" + (f": {why}" if why else "")
