"""Reads the chain of the log where all nodes have the same: at committed entries that are still held."""

from __future__ import annotations

from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.replica import LogPoint
from quorate.errors import Gone, Stale


def held_point(engine: Engine, index: int) -> LogPoint | None:
    """None if the log does not hold the entry any more, or if it is not committed as far as this node knows."""
    if not engine.journal.first_index <= index <= engine.commit_index:
        return None
    return LogPoint(index, engine.term_at(index), engine.journal.chain_at(index))


def applied_point(engine: Engine, index: int | None) -> LogPoint:
    """See `Replica.log_point`."""
    at = engine.applied_index if index is None else index
    if at > engine.applied_index:
        raise Stale(f"this node has applied its log up to entry {engine.applied_index:,}, and not entry {at:,} yet")
    point = held_point(engine, at)
    if point is None:
        first = f"entry {engine.journal.first_index:,}"
        raise Gone(f"entry {at:,} is no longer held: after a snapshot, the log of this node begins with {first}")
    return point
