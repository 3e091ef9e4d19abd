"""One connection of Twitter v1.1 or of X, read to its end, and what to make of that end: both ask for the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

from quorate.ingest.social.reading.lines import LineTooLong
from quorate.ingest.social.reading.pauses import FLEETING_S, ReconnectPauses
from quorate.web.long_read import LongReadFailed

Came = TypeVar("Came")


@dataclass(frozen=True, slots=True)
class ReadEnd:
    """`reason` as `Inlet.disconnected` has it. `why` is empty if the server just ended it. `heard`: something came."""

    reason: str
    why: str
    lasted_s: float
    heard: bool

    def pause_s(self, pauses: ReconnectPauses, *, too_many: Collection[str]) -> float:
        """Before the next connection. `too_many`: reasons that count as an answer of 429."""
        if self.reason in too_many:
            return pauses.too_many()
        if self.reason == "nonsense":
            return pauses.nonsense()
        return pauses.dropped(self.lasted_s, heard=self.heard)


def read_to_end(
    batches: Iterable[Came],
    take: Callable[[Came], tuple[str, str] | None],
    is_understood: Callable[[], bool],
    on_heard: Callable[[], None],
) -> ReadEnd:
    """`take` gets what came, and says why the stream is over, if it is. `on_heard` is called once: when something of it
    was understood, or the connection has lasted."""
    began_s, heard = time.monotonic(), False
    reason, why = "hung_up", ""
    try:
        for batch in batches:
            last = take(batch)
            if not heard and (is_understood() or time.monotonic() - began_s >= FLEETING_S):
                heard = True
                on_heard()
            if last is not None:
                reason, why = last
                break
    except LongReadFailed as error:
        reason, why = error.reason, str(error)
    except LineTooLong as error:
        reason, why = "nonsense", str(error)
    return ReadEnd(reason, why, time.monotonic() - began_s, heard)
