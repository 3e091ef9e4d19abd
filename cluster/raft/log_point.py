"""Reads the log where all nodes have the same: committed entries that are still held, and their chain."""

from __future__ import annotations

from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.engine.replication import LEVEL, MEMBERS, NO_OP, REGULAR
from quorate.cluster.replica import LoggedEntry, LogPage, LogPoint
from quorate.errors import Gone, Stale

NEW_BASE = 1  # where a new log begins: nobody proposed that entry
KINDS = {REGULAR: "batches", NO_OP: "begin of a leadership", MEMBERS: "members", LEVEL: "feature level"}


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
        raise _gone(at, engine.journal.first_index)
    return point


def applied_page(engine: Engine, first: int | None, entries_max: int, bytes_max: int) -> LogPage:
    """See `Replica.log_page`. The base of the log stands for what a snapshot has, and is no entry any more."""
    journal = engine.journal
    held, last = journal.first_index + 1, engine.applied_index
    begin = held if first is None else max(first, NEW_BASE + 1)
    if begin < held:
        raise _gone(begin, held)
    entries: list[LoggedEntry] = []
    for index in range(begin, min(last, begin + entries_max - 1) + 1):
        command = journal.command_at(index)
        bytes_max -= len(command)
        if entries and bytes_max < 0:
            break
        entries.append(logged_entry(command, index, engine.term_at(index), journal.chain_at(index)))
    return LogPage(held, last, entries)


def logged_entry(command: bytes, index: int, term: int, chain: bytes) -> LoggedEntry:
    return LoggedEntry(index, term, chain, KINDS.get(command[:1], "unknown"), command[1:])


def _gone(index: int, first: int) -> Gone:
    return Gone(
        f"entry {index:,} is no longer held: after a snapshot, the log of this node begins with entry {first:,}"
    )
