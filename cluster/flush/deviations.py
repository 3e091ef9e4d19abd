"""What stood in one sink and was not what had been written there: told once, with what to do.

People edit documents, other programs count into them, a database is dropped or put back from an older copy. The flush
writes over all of that. So it must say so, or nobody would know where a number went. Written on the flusher's thread,
read on the loop.
"""

from __future__ import annotations

import logging
import time

from quorate.cluster.flush.sink_status import DeviationStatus

TOLD_FOR_S = 3_600.0  # a document that is edited again and again is told once in this time
SHOWN_MAX = 20  # documents in /status
RECENT_MAX = 1_000  # documents that an audit can still tell of

log = logging.getLogger(__name__)


class Deviations:
    def __init__(self, sink: str) -> None:
        self._sink = sink
        self._edited = self._lost = self._deleted = 0
        self._gone: set[str] = set()  # polls whose deleted documents were told
        self._told_s: dict[str, float] = {}  # poll id -> when an edit was told last, on the monotonic clock
        self._last = ""
        self._last_s: float | None = None  # when something was found last, told or not
        self._edited_s: dict[str, float] = {}  # poll id -> when it was last written over, of the last `RECENT_MAX`
        self._audited_s: dict[str, float] = {}  # poll id -> when an audit told of it

    def edited(self, id: str) -> None:
        """The document of this poll was written over, and it was not what had been written."""
        self._edited += 1
        now_s = self._last_s = time.monotonic()
        _note(self._edited_s, id, now_s)
        told_s = self._told_s.get(id)
        if told_s is None or now_s - told_s >= TOLD_FOR_S:
            self._told_s[id] = now_s
            self._last = (
                f"the document {id!r} in {self._sink} was changed by hand or by another program, and is written over: "
                "`results` is output, and only votes change it. End what else writes there. Options may be added, and "
                "nothing else; `quorate polls edit` changes a poll"
            )
            log.warning("%s", self._last)

    def deleted(self, id: str) -> None:
        """The document of this poll is gone, and the sink knows that it was written."""
        if id in self._gone:  # every leadership, and every flush after an outage, meets it again
            return
        self._gone.add(id)
        self._deleted += 1
        self._last_s = time.monotonic()
        self._last = (
            f"the document {id!r} was deleted from {self._sink} by hand; it is not brought back, unless `quorate sink "
            "adopt` writes all polls again"
        )
        log.info("%s", self._last)

    def stored(self, id: str) -> None:
        """The sink has the document of this poll."""
        self._gone.discard(id)

    def lost(self, id: str) -> None:
        """The sink has an older document of this poll than was written, or none."""
        self._lost += 1
        self._last_s = time.monotonic()
        self._last = (
            f"{self._sink} has lost what was written to it, the document {id!r} for one: it was dropped or emptied, or "
            "an older copy was put back. Every poll is written again. The tallies are those of the cluster: an older "
            "copy of the sink does not bring older ones back"
        )
        log.warning("%s", self._last)

    def untold(self, within_s: float) -> list[str]:
        """Polls whose documents were edited, and written over in the last seconds, of which no audit has told."""
        after_s = time.monotonic() - within_s
        edited = list(self._edited_s.items())
        return [id for id, at_s in edited if at_s > max(after_s, self._audited_s.get(id, -within_s) + within_s)]

    def told(self, id: str) -> None:
        """An audit tells of this poll. If the flush writes over it soon, that is no news."""
        self._edited_s.pop(id, None)
        _note(self._audited_s, id, time.monotonic())

    def status(self) -> DeviationStatus:
        return {
            "edited": self._edited,
            "lost": self._lost,
            "deleted": self._deleted,
            "polls": list(self._told_s)[-SHOWN_MAX:],
            "last": self._last or None,
            "last_age_s": None if self._last_s is None else time.monotonic() - self._last_s,
        }


def _note(moments: dict[str, float], id: str, now_s: float) -> None:
    moments.pop(id, None)
    moments[id] = now_s
    if len(moments) > RECENT_MAX:
        del moments[next(iter(moments))]
