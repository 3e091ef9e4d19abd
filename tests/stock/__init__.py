"""Stock PySyncObj 0.3.17 and our replica under the same faults: one simulated network, one script, two results."""

from __future__ import annotations

# Before anything imports pysyncobj: it breaks socket.inet_ntop for the whole process, and this undoes it.
from quorate.cluster.raft.engine import stock

__all__ = ["stock"]
