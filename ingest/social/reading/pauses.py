"""When to connect again, as the documents of Twitter v1.1 and of X ask for it: both ask for the same.

- a connection that was established drops: at once, the first time
- no connection: 250 ms, and 250 ms more each time, up to 16 s
- an answer that is no success: 5 s, doubled each time, up to 320 s
- 420 and 429, too many requests: 60 s, doubled each time, and never sooner than the answer itself says

X's documents: "Handling disconnections"; Twitter's: "Connecting to a streaming endpoint".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from quorate.ingest.social.backoff import Backoff
from quorate.ingest.social.reading.retry_after import retry_after_s

TOO_MANY = (420, 429)
LIMITED_MAX_S = 3_600.0  # the documents name no end
FLEETING_S = 1.0  # a server that hangs up as soon as it has answered is not asked without any pause


class ReconnectPauses:
    """`unix_s` tells the time of the server's clock, in which it says until when it answers 429."""

    def __init__(self, unix_s: Callable[[], float] = time.time) -> None:
        self._unix_s = unix_s
        self._tcp = Backoff(0.25, 16, step_s=0.25, jitter=0)
        self._http = Backoff(5, 320)
        self._limited = Backoff(60, LIMITED_MAX_S)
        self._nonsense = Backoff(5, 320)

    def established(self) -> None:
        """Something came over a connection: what failed before it is over."""
        for each in (self._tcp, self._http, self._limited):
            each.reset()

    def understood(self) -> None:
        """A post came: what answers is a stream of posts."""
        self._nonsense.reset()

    def nonsense(self) -> float:
        """What came over a connection is no stream of posts: a page, say. That is no success, whatever its status."""
        return self._nonsense.next_s()

    def dropped(self, lasted_s: float, *, heard: bool) -> float:
        """A connection that was answered with 200 has ended. `heard`: something had come over it."""
        if not heard:
            return self._tcp.next_s()
        return 0.0 if lasted_s >= FLEETING_S else 0.25

    def unreachable(self) -> float:
        return self._tcp.next_s()

    def answered(self, status: int, headers: Mapping[str, str]) -> float:
        if status not in TOO_MANY:
            return max(self._http.next_s(), self._asked_for_s(headers, left="1"))
        return max(self._limited.next_s(), self._asked_for_s(headers, left="0"))

    def too_many(self) -> float:
        """As after 429, which some tell in the stream."""
        return self._limited.next_s()

    def _asked_for_s(self, headers: Mapping[str, str], *, left: str) -> float:
        """By `Retry-After`, or by `x-rate-limit-reset`, a moment, if no request is left until then; `left` is how many
        there are, if the answer does not say."""
        asked_s = retry_after_s(headers, self._unix_s)
        if _number(headers.get("x-rate-limit-remaining", left)) == 0:
            asked_s = max(asked_s, _number(headers.get("x-rate-limit-reset")) - self._unix_s())
        return min(asked_s, LIMITED_MAX_S)


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
