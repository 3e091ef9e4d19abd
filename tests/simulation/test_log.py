"""The log under crashes: it opens with a state that it had since the last sync that was reported.

The state includes terms, ballots and snapshots. A random engine adds, cuts, votes, saves, compacts and installs. Its
process is killed or loses power at a random step of the disk, or a write or a sync fails; any subset of the unsynced
blocks is kept. `QUORATE_SEEDS=2000` runs more histories, `QUORATE_SEED=17` runs one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
from dataclasses import dataclass

import pytest

from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.segments import GENESIS, Point, chain_of
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from tests.simulation.files import PowerCut, SimFiles, SimWriter

ONE = os.environ.get("QUORATE_SEED")
SEEDS = [int(ONE)] if ONE else range(int(os.environ.get("QUORATE_SEEDS", "150")))
LIVES, ACTIONS_MAX = 12, 60
SEGMENT_BYTES = 3_000


@dataclass(frozen=True)
class State:
    """The state of a log. `log` has every entry since the beginning, or since a snapshot was installed."""

    log: tuple[Point, ...]
    term: int
    ballot: str | None

    def with_snapshot(self, snapshot: SnapshotMeta | None) -> State:
        """The state with which a node must start on this log, given its newest snapshot."""
        if snapshot is None:
            return self
        point = Point(snapshot.index, snapshot.term, snapshot.chain)
        if point in self.log or snapshot.index < self.log[0].index:
            return self
        ballot = self.ballot if self.term >= point.term else None
        return State((point,), max(self.term, point.term), ballot)

    def __str__(self) -> str:
        return (
            f"{self.log[-1].index} of {self.log[-1].term} ({self.log[-1].chain.hex()[:6]}), {self.term}, {self.ballot}"
        )


class Node:
    """A node that is started again and again on one disk, with a record of what it did."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.files = SimFiles(self.rng)
        self.log, self.term = [GENESIS], 0
        self.ballot: str | None = None
        self.committed = 1
        self.saved: SnapshotMeta | None = None  # known to be durable
        self.created = False
        self.open()
        self.history = [self.state]  # after each record of this life

    def open(self) -> None:
        self.installing = False
        self.failures: list[BaseException] = []  # of the disk
        self.writer, self.snapshots = SimWriter(self.files), SnapshotStore(self.files)
        self.newest = self.snapshots.newest()
        self.journal = Journal.open(
            self.files,
            self.writer,
            snapshot=self.newest,
            on_failure=self.failures.append,
            segment_bytes=SEGMENT_BYTES,
            may_create=not self.created,
        )
        self.created = True

    @property
    def state(self) -> State:
        return State(tuple(self.log), self.term, self.ballot)

    def holds(self, state: State) -> bool:
        """Whether the journal has this state. The last chain value proves all entries before it."""
        journal = self.journal
        last = Point(journal.last_index, journal[-1][2], journal.chain_at(journal.last_index))
        return (last, journal.getCurrentTerm(), journal.getVotedForNodeId()) == (
            state.log[-1],
            state.term,
            state.ballot,
        )

    # ---- what it does -----------------------------------------------------------------------------------------------

    def live(self) -> None:
        actions = {self.add: 30, self.campaign: 3, self.cut: 4, self.commit: 8, self.save: 3, self.compact: 2}
        actions[self.install] = 1
        disk = {self.journal.flush: 12, self.complete: 14, self.journal.onOneSecondTimer: 3}
        for _ in range(self.rng.randint(1, ACTIONS_MAX)):
            possible = disk if self.installing else actions | disk
            self.rng.choices(list(possible), list(possible.values()))[0]()
            assert self.holds(self.state)
            assert [] == self.failures
            assert len(self.history) == self.journal.position + 1
            durable = self.history[self.journal.synced].log[-1].index
            assert self.journal.synced_index <= max(durable, self.saved.index if self.saved else 1)

    def add(self) -> None:
        if self.term == 0:
            return
        for _ in range(self.rng.randint(1, 6)):
            command, last = self.rng.randbytes(self.rng.choice([0, 1, 40, 40, 300, 2_000])), self.log[-1]
            self.journal.add(command, last.index + 1, self.term)
            chain = chain_of(last.chain, last.index + 1, self.term, command)
            self.log.append(Point(last.index + 1, self.term, chain))
            self.history.append(self.state)

    def campaign(self) -> None:
        self.term += self.rng.randint(1, 3)
        self.ballot = self.rng.choice([None, "n1", "a node with a long name " * 4])
        self.journal.setCurrentTerm(self.term, self.ballot)
        self.history.append(self.state)

    def cut(self) -> None:
        last = self.log[-1].index
        keep = max(self.committed, self.journal.first_index, last - self.rng.randint(1, 9))
        if keep < last:
            self.campaign()  # only a leader of a newer term has other entries there
            self.journal.deleteEntriesFrom(keep + 1 - self.journal.first_index)
            del self.log[keep + 1 - self.log[0].index :]
            self.history.append(self.state)

    def commit(self) -> None:
        """Set the commit index as a leader tells it: a committed entry may not be synced here yet."""
        self.committed = self.rng.randint(self.committed, self.log[-1].index)
        self.journal.setRaftCommitIndex(self.committed)

    def complete(self) -> None:
        self.writer.complete()

    def save(self) -> None:
        index = self.committed
        if self.newest is not None and index <= self.newest.index:
            return
        point, image = self.log[index - self.log[0].index], self.rng.randbytes(self.rng.choice([0, 100, 5_000]))
        self.newest = SnapshotStore(SimFiles(self.rng)).save(index, point.term, point.chain, b"members", image)
        self.writer.run(lambda: self.snapshots.save(index, point.term, point.chain, b"members", image), self.keep)

    def keep(self, meta: SnapshotMeta | BaseException) -> None:
        if isinstance(meta, OSError):
            return  # the node stops
        assert isinstance(meta, SnapshotMeta)
        self.saved = meta

    def compact(self) -> None:
        if self.saved and self.saved.index >= self.journal.first_index:
            self.journal.compact(self.rng.randint(self.journal.first_index, self.saved.index))

    def install(self) -> None:
        """Install a leader's snapshot of entries that this node does not have, or has different ones for."""
        self.campaign()
        index, image = self.committed + self.rng.randint(1, 50), self.rng.randbytes(3_000)
        chain = self.rng.randbytes(16)
        meta = SnapshotStore(SimFiles(self.rng)).save(index, self.term, chain, b"members", image)
        self.installing = True

        def receive() -> SnapshotMeta:
            offset: int | None = 0
            while offset is not None:
                offset = self.snapshots.receive(meta, offset, image[offset : offset + 1_000])
            return meta

        self.writer.run(receive, self.installed)

    def installed(self, meta: SnapshotMeta | BaseException) -> None:
        if isinstance(meta, OSError):
            return
        assert isinstance(meta, SnapshotMeta)
        self.installing = False
        self.saved = self.newest = meta
        self.journal.reset(meta)
        self.log, self.committed = [Point(meta.index, meta.term, meta.chain)], meta.index
        self.history.append(self.state)

    # ---- what happens to it -----------------------------------------------------------------------------------------

    def die(self) -> list[State]:
        """End the process in one of several ways. Returns the states that may be found."""
        way = self.rng.random()
        if way < 0.1:
            self.journal.close()
            return self.history[-1:]
        if way > 0.85:
            self.fail_disk()
        synced = self.journal.synced
        self.writer.die(self.rng.randint(0, 40))
        (self.files.kill if way < 0.5 else self.files.crash)()
        return self.history[synced:]

    def fail_disk(self) -> None:
        """A write or a sync fails: from then on the log calls nothing durable, and writes nothing more."""
        self.files.fail(self.rng.randint(1, 12), self.rng.choice([errno.EIO, errno.ENOSPC]))
        self.journal.flush()
        self.journal.onOneSecondTimer()
        self.writer.drain()
        if self.failures:
            synced = self.journal.synced
            self.journal.flush()
            self.writer.drain()
            assert synced == self.journal.synced

    def wake(self, possible: list[State]) -> None:
        """Open the log again, perhaps with a crash in the middle of it, and check its state."""
        while self.rng.random() < 0.3:
            self.files.steps_left = self.rng.randint(0, 30)
            with contextlib.suppress(PowerCut):
                self.open()
            self.rng.choice([self.files.kill, self.files.crash])()
        self.open()
        if self.saved is not None:
            assert self.newest is not None, "the snapshot is gone"
            assert self.saved.index <= self.newest.index, "the snapshot is older than one that was durable"
        states = [state.with_snapshot(self.newest) for state in possible]
        found = next((state for state in states if self.holds(state)), None)
        assert found is not None, f"{self.journal[-1][1:]} is none of {', '.join(map(str, states))}"
        self.go_on_as(found)

    def go_on_as(self, found: State) -> None:
        committed = self.journal.getRaftCommitIndex()
        if self.newest is None or committed > self.newest.index:
            assert committed <= self.committed
            known = [point for point in self.log if point.index <= committed]
            assert known == [point for point in found.log if point.index <= committed][-len(known) :]
        self.log, self.term, self.ballot = list(found.log), found.term, found.ballot
        self.saved, self.committed = self.newest, committed
        self.history = [found]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_starts_with_all_entries_that_were_called_durable(seed: int) -> None:
    node = Node(seed)
    print(f"QUORATE_SEED={seed}")
    for _ in range(LIVES):
        node.live()
        node.wake(node.die())
