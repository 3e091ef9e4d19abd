"""Up to where everything was read, while the stream goes on and gaps before it are being filled.

The position is the id from which nothing is missing: that of the newest post of the stream, or, as long as there are
gaps, the beginning of the first of them. So a kill in the middle of filling costs nothing but reading it again.

Posts do not come in the order of their ids, and a search finds them late. So a gap begins `OVERLAP_S` before the last
post that came, and ends `OVERLAP_S` after the connect; what comes twice is harmless.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from quorate.ingest.social.networks.x.snowflake import id_at, ms_of

PART = ""
OVERLAP_S = 30.0
AHEAD_S = 3_600.0  # an id that is later by so much is of no post that was written
JOINED_S = 120.0  # a gap that begins within this time after another one that waits becomes a part of it
QUIET_S = 60.0  # nothing came for so long: then nothing older comes any more


@dataclass(slots=True)
class Gap:
    """Ids beyond `since` and below `until` were written while nobody listened, or may have been. It may grow by gaps
    that follow: `connected_ms` is the last of the connects, `first_ms` the first."""

    since: int
    until: int
    first_ms: float
    connected_ms: float

    @property
    def seconds(self) -> float:
        return max(0.0, (ms_of(self.until) - ms_of(self.since)) / 1_000 - 2 * OVERLAP_S)


class Marks:
    """For all threads. `position` is where an earlier run stood, 0 if there was none. `was_ahead`: at the last connect,
    the position lay in the future."""

    def __init__(self, position: int) -> None:
        self._changed = threading.Condition()
        self._newest = position
        self._gaps: deque[Gap] = deque()
        self._is_filling = self._is_closed = self.was_ahead = False

    def close(self) -> None:
        """The network ends: nobody waits for a gap any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def gaps(self) -> int:
        with self._changed:
            return len(self._gaps)

    def connected(self, server_ms: float) -> dict[str, str]:
        """The stream is connected at this time of X's. What it has missed becomes a gap. Gives the position."""
        with self._changed:
            until = id_at(server_ms + OVERLAP_S * 1_000)
            self.was_ahead = self._newest > id_at(server_ms + AHEAD_S * 1_000)
            if self.was_ahead:
                self._newest = id_at(server_ms)
            elif self._newest:
                self._add(Gap(_earlier(self._newest), until, server_ms, server_ms))
            else:
                self._newest = id_at(server_ms)
            self._changed.notify_all()
            return self._position()

    def before_put(self, newest: int) -> dict[str, str]:
        """The position when posts up to this one are confirmed. `after_put` follows when they are put in."""
        with self._changed:
            return {} if self._gaps else {PART: str(max(newest, self._newest))}

    def after_put(self, newest: int) -> None:
        with self._changed:
            self._newest = max(newest, self._newest)

    def quiet(self, server_ms: float) -> dict[str, str]:
        """The stream lives, and nothing came for a while."""
        with self._changed:
            before = self._newest
            self._newest = max(before, id_at(server_ms - QUIET_S * 1_000))
            return self._position() if self._newest != before and not self._gaps else {}

    def next_gap(self, timeout_s: float) -> Gap | None:
        """The first one. It stays until it is `filled` or `given_up`."""
        with self._changed:
            self._changed.wait_for(lambda: self._gaps or self._is_closed, timeout_s)
            return self._gaps[0] if self._gaps else None

    def begin(self, gap: Gap, connected_ms: float) -> bool:
        """It is being filled, and does not grow any more. False: it was given up, or has grown since this connect."""
        with self._changed:
            is_first = bool(self._gaps) and self._gaps[0] is gap
            self._is_filling = is_first and gap.connected_ms == connected_ms
            return self._is_filling

    def filled(self, gap: Gap) -> dict[str, str]:
        """The position after it."""
        with self._changed:
            self._is_filling = False
            if not self._gaps or self._gaps[0] is not gap:
                return {}
            self._gaps.popleft()
            self._newest = max(self._newest, _earlier(gap.until))  # the last connect
            return self._position()

    def skip_to(self, server_ms: float) -> dict[str, str]:
        """What was missed until now is given up. The next connect is as the first one: before it there is no gap."""
        with self._changed:
            self._gaps.clear()
            self._is_filling = False
            skipped = max(self._newest, id_at(server_ms))
            self._newest = 0
            return {PART: str(skipped)}

    def _add(self, gap: Gap) -> None:
        last = self._gaps[-1] if self._gaps else None
        joins = last is not None and not (self._is_filling and len(self._gaps) == 1)
        if last is not None and joins and gap.first_ms - last.first_ms < JOINED_S * 1_000:
            last.until, last.connected_ms = max(last.until, gap.until), gap.connected_ms
        else:
            self._gaps.append(gap)

    def _position(self) -> dict[str, str]:
        return {PART: str(self._gaps[0].since if self._gaps else self._newest)}


def _earlier(id: int) -> int:
    return id_at(ms_of(id) - OVERLAP_S * 1_000)
