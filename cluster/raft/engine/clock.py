"""The clock that elections, replication and snapshot transfer measure time with: PySyncObj's own.

PySyncObj's ticks read `pysyncobj.syncobj.monotonicTime`. Our overrides must read the same function, or the two would
disagree about deadlines. It is looked up at each call, because a simulation replaces it there by its virtual time.
"""

from __future__ import annotations

from quorate.cluster.raft.engine.stock import syncobj


def monotonic_s() -> float:
    return float(syncobj.monotonicTime())
