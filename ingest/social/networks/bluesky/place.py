"""A place in Jetstream, and the cursor that goes on there.

Events of one instance have numbers (`seq`), which another instance does not share. So at another one, or where the
numbers began anew, the time of the last event is asked for, and a minute before it: what comes twice counts once. A
cursor of 10^15 or more is such a time, in microseconds. (Jetstream's lexicon, subscribeEvents, `cursor`.)
"""

from __future__ import annotations

import msgspec

TIMES_FROM = 10**15
BACK_US = 60_000_000
OLDEST = TIMES_FROM  # a time before all others: v2 goes on from the oldest event that it has
OLD_TIME_BACK_US = 5_000_000  # v1 takes times alone, of which several events may have the same


class JetstreamPlace(msgspec.Struct, frozen=True, omit_defaults=True):
    """`server` is where `seq` holds; 0: it tells no numbers (v1). `time_us`: the last event's. All 0: the live end."""

    server: str = ""
    seq: int = 0
    time_us: int = 0

    @classmethod
    def read(cls, position: str) -> JetstreamPlace:
        return msgspec.json.decode(position, type=cls) if position else cls()

    def written(self) -> str:
        return msgspec.json.encode(self).decode()

    @property
    def is_known(self) -> bool:
        return bool(self.seq or self.time_us)

    def has_number_at(self, server: str) -> bool:
        return bool(self.seq) and server == self.server

    def cursor(self, server: str, *, takes_numbers: bool) -> int | None:
        """None: from now on. A number is inclusive, so the last event comes again."""
        if not self.is_known:
            return None
        if not takes_numbers:
            back_us = OLD_TIME_BACK_US if server == self.server else BACK_US
            return max(TIMES_FROM, self.time_us - back_us)
        if self.has_number_at(server):
            return self.seq
        return max(TIMES_FROM, self.time_us - BACK_US)

    def without_number(self) -> JetstreamPlace:
        return JetstreamPlace("", 0, self.time_us)
