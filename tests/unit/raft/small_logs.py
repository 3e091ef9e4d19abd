"""A small log on a simulated disk, for the tests of the journal."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.replay import Entry
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta
from tests.simulation.files import SimFiles, SimWriter

SEGMENT_BYTES = 700


class State(NamedTuple):
    entries: tuple[Entry, ...]
    term: int
    ballot: str | None


class Disk:
    """A disk with a journal on it."""

    def __init__(self, files: SimFiles | None = None) -> None:
        self.files = files or SimFiles(random.Random(0))
        self.writer = SimWriter(self.files)
        self.failures: list[BaseException] = []
        self.synced = 0  # how often it was said

    def open(
        self,
        snapshot: SnapshotMeta | None = None,
        *,
        may_create: bool = True,
        on_synced: Callable[[], None] = lambda: None,
    ) -> Journal:
        def synced() -> None:
            self.synced += 1
            on_synced()

        return Journal.open(
            self.files,
            self.writer,
            snapshot=snapshot,
            on_failure=self.failures.append,
            on_synced=synced,
            segment_bytes=SEGMENT_BYTES,
            node_id="n2",
            may_create=may_create,
        )

    def sync(self, journal: Journal) -> None:
        journal.flush()
        self.writer.drain()

    @property
    def segments(self) -> list[str]:
        return sorted(name for name in self.files.names() if name.endswith(".seg"))


def state_of(journal: Journal) -> State:
    return State(tuple(journal[1:]), journal.getCurrentTerm(), journal.getVotedForNodeId())


def lead(journal: Journal, term: int, ballot: str | None = "n2") -> None:
    journal.setCurrentTerm(term, ballot)


def append(journal: Journal, *commands: bytes) -> None:
    for command in commands:
        journal.add(command, journal.last_index + 1, journal.getCurrentTerm())
