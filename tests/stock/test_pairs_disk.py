"""The disk: how stock PySyncObj loses data, and reads data that is not there. One script a pair, where possible.

`test_NAME_stock` shows the failure on the library as it is installed, `test_NAME_ours` its absence in our replica.
Damage to every byte of our log and snapshots is tested in tests/unit/raft/test_journal*.py and test_snapshot_store.py.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pysyncobj.journal
import pytest
from pysyncobj.journal import FileJournal, ResizableFile

from quorate.cluster.raft.storage import files as files_module
from quorate.cluster.raft.storage import memory_file, segments
from quorate.cluster.raft.storage.files import OsFiles
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.snapshot_store import SnapshotStore
from quorate.errors import DataError
from tests.simulation.files import SimWriter
from tests.stock.net import DROP, Net
from tests.stock.our_net import OurNet
from tests.stock.stock_net import StockNet
from tests.unit.raft.small_logs import Disk, append, lead, state_of

SMALL: dict[str, Any] = {"snapshot_bytes": 2_000, "keep_bytes": 300}  # snapshots often, and little log behind them


def fail(error: BaseException) -> None:
    raise AssertionError("the journal says that the disk failed") from error


# ---- syncs ----------------------------------------------------------------------------------------------------------


class Syncs:
    """Counts the calls that make a disk durable; with RWF_DSYNC a write is one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("fsync", "fdatasync", "sync"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))
        monkeypatch.setattr(files_module, "_sync_data", self._counted(files_module._sync_data))
        write = os.pwritev

        def pwritev(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
            self.count += bool(flags)
            return write(fd, buffers, offset, flags)

        monkeypatch.setattr(os, "pwritev", pwritev)
        syncs = self

        class Map(mmap.mmap):
            def flush(self, *part: int) -> None:
                syncs.count += 1
                super().flush(*part)

        monkeypatch.setattr(pysyncobj.journal.mmap, "mmap", Map)

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.count += 1
            return call(*arguments)

        return counted


def test_no_fsync_stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)
    with StockNet(1, folder=tmp_path) as net:
        net.start_all("a")
        leader = net.elect()
        tags = net.propose_all(leader, "x", 200)
        net.nodes["a"].forceLogCompaction()
        net.run(10)
        assert 200 == net.told("success", tags)
        assert (tmp_path / "a.dump").exists()
        assert 0 == syncs.count


def test_no_fsync_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real disk: nothing is called durable that was not synced, and all of a group with one call."""
    files = OsFiles(tmp_path)
    writer = SimWriter(files)  # type: ignore[arg-type]  # it only runs operations when it is told to
    journal = Journal.open(files, writer, snapshot=None, on_failure=fail)
    lead(journal, 1)
    append(journal, b"x")
    journal.flush()
    writer.drain()
    syncs = Syncs(monkeypatch)
    append(journal, *[b"x"] * 200)
    journal.flush()
    assert (2, 0) == (journal.synced_index, syncs.count)
    writer.drain()
    assert (202, 1) == (journal.synced_index, syncs.count)
    journal.close()
    files.close()


def test_no_fsync_answers_ours() -> None:
    """With the disks of a majority hanging, nothing is acknowledged; and no ballot is given by one that hangs."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        hanging = [net.disks[name]["quorate-disk"] for name in net.others(leader)]
        for disk in hanging:
            disk.hold()
        net.propose(leader, "x")
        net.run(0.3)
        assert net.last_index(net.others(leader)[0]) == net.last_index(leader), "they have it in memory"
        assert {} == net.outcomes
        term = net.term(leader)
        net.crash(leader)
        net.run(5)
        assert net.leader() is None
        assert max(net.term(name) for name in net.up()) > term, "they stood, and promised nothing"
        for disk in hanging:
            disk.release()
        assert net.until(net.leader, limit_s=10)
        net.run(1)
        assert ["x"] == net.tags(net.others(leader)[0])


def survivors(net: Net, lose_power: Callable[[str], None]) -> tuple[int, int]:
    """Acknowledged entries, and how many of them a majority has that lost its power ten seconds later."""
    net.start_all("abc")
    leader = net.elect()
    net.run(2)
    tags = net.propose_all(leader, "x", 50)
    net.run(10)
    acknowledged = net.told("success", tags)
    for name in "abc":
        lose_power(name)
    for name in net.others(leader):
        net.start(name)
    net.elect()
    net.run(3)
    return acknowledged, max(len(set(tags) & set(net.tags(name))) for name in net.up())


def test_lost_unsynced_tail_stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library never syncs (test_no_fsync), so here the disk keeps only what was there before the proposals."""
    syncs = Syncs(monkeypatch)
    with StockNet(5, folder=tmp_path, dump=False) as net:
        synced = tmp_path / "synced"

        def propose_all(*arguments: Any, **named: Any) -> list[str]:
            shutil.copytree(tmp_path, synced)
            syncs.count = 0
            return StockNet.propose_all(net, *arguments, **named)

        def lose_power(name: str) -> None:
            net.crash(name)
            for file in synced.glob(f"{name}.*"):
                shutil.copy(file, tmp_path)

        monkeypatch.setattr(net, "propose_all", propose_all)
        assert (50, 0) == survivors(net, lose_power)
        assert 0 == syncs.count


@pytest.mark.parametrize("seed", range(5))
def test_lost_unsynced_tail_ours(seed: int) -> None:
    with OurNet(seed) as net:
        assert (50, 50) == survivors(net, lambda name: net.crash(name, power=True))


# ---- the log --------------------------------------------------------------------------------------------------------


def stock_journal(path: Path, entries: int = 200) -> list[tuple[bytes, int, int]]:
    journal = FileJournal(str(path))
    for index in range(1, entries + 1):
        journal.add(b"\0" + f"command {index}".encode(), index, 1)
    journal._destroy()
    return stock_entries(path)


def stock_entries(path: Path) -> list[tuple[bytes, int, int]]:
    journal = FileJournal(str(path))
    entries = [journal[at] for at in range(len(journal))]
    journal._destroy()
    return entries


class Killed(BaseException):
    """The process ends here; what it wrote into the mapped file stays."""


def test_journal_torn_stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checksum, records rewritten in place, 32-bit offsets."""
    path = tmp_path / "journal"
    entries, good = stock_journal(path), path.read_bytes()

    rng, taken = random.Random(7), 0
    for _ in range(100):
        damaged = bytearray(good)
        damaged[rng.randrange(40, good.rindex(b"command 200"))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with contextlib.suppress(struct.error, OverflowError):  # a wild length: it does not start
            taken += stock_entries(path) != entries
    assert taken > 50, "single flipped bits are read as other entries"

    path.write_bytes(good)
    journal, write, writes = FileJournal(str(path)), ResizableFile.write, 0

    def dying(file: Any, offset: int, data: bytes) -> None:
        nonlocal writes
        writes += 1
        if writes == 40:
            raise Killed
        write(file, offset, data)

    with monkeypatch.context() as patched:
        patched.setattr(ResizableFile, "write", dying)
        with pytest.raises(Killed):
            journal.deleteEntriesTo(100)
    assert stock_entries(path)[-1][1] < 130, "killed in a compaction that was to keep 101 to 200"

    path.write_bytes(good)
    journal = FileJournal(str(path))
    journal._FileJournal__currentOffset = 2**32 - 8  # as after 4 GiB, in a sparse file
    with pytest.raises(struct.error):
        journal.add(b"\0one more", 201, 1)
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        FileJournal(str(tmp_path / "empty"))  # killed just after it was made


def test_journal_torn_ours() -> None:
    disk = Disk()
    journal = disk.open()
    lead(journal, 1)
    for number in range(200):
        append(journal, f"command {number}".encode())
        disk.sync(journal)
    state, chain = state_of(journal), journal.chain_at(150)
    journal.close()

    rng = random.Random(7)
    for _ in range(100):
        files = disk.files.copy()
        name = rng.choice(disk.segments)
        files.flip(name, rng.randrange(files.size(name)), 1 << rng.randrange(8))
        with contextlib.suppress(DataError):  # refused; or of no matter
            assert state == state_of(Disk(files).open())

    for steps in range(40):
        compacting = Disk(disk.files.copy())
        snapshot = SnapshotStore(compacting.files).save(150, 1, chain, b"", b"image")
        journal = compacting.open(snapshot)
        journal.compact(150)
        compacting.writer.die(steps)
        compacting.files.kill()
        journal = compacting.open(snapshot)
        assert state.entries[-51:] == tuple(journal[-51:]), f"killed {steps} steps into a compaction"

    far = segments.Head(1, False, 2**40, 2**40, segments.Point(2**40, 2**40, bytes(16)), 2**40, None)
    parsed = segments.parse_head(segments.head_record(far))
    assert parsed is not None
    assert far == parsed[0], "numbers have eight bytes"


def test_commit_index_ahead_stock(tmp_path: Path) -> None:
    """The commit index is in a file of its own, which may be newer than the log that survived."""

    def lose_tail(name: str) -> None:
        journal = FileJournal(str(tmp_path / f"{name}.journal"))
        journal.deleteEntriesFrom(len(journal) - 8)
        journal._destroy()

    with StockNet(2, folder=tmp_path, dump=False) as net:
        assert ("success", [0, 0]) == alone(net, lose_tail), "applied and acknowledged before anybody else had it"


def test_commit_index_ahead_ours() -> None:
    """Our commit index stands in the log, so it is never ahead of it. Here the log is cut as a repair would."""
    with OurNet(2) as net:

        def lose_tail(name: str) -> None:
            files = net.directories[name].files
            journal = Journal.open(files, SimWriter(files), snapshot=None, on_failure=fail)
            journal.deleteEntriesFrom(len(journal) - 8)
            journal.close()
            files.put(memory_file.NAME, None)  # otherwise each would hear from the others that it has forgotten entries

        assert (None, [0, 0]) == alone(net, lose_tail)


def alone(net: Net, lose_tail: Callable[[str], None]) -> tuple[str | None, list[int]]:
    """All nodes lose the end of their logs. What a leader that reaches nobody answers, and how often others counted."""
    net.start_all("abc")
    net.propose_all(net.elect(), "x", 10)
    net.run(3)
    for name in "abc":
        net.crash(name)
        lose_tail(name)
    for name in "abc":
        net.start(name)
    leader = net.elect()
    net.listen(lambda source, target, message: DROP)
    net.propose(leader, "alone")
    net.run(0.3)
    return net.outcomes.get("alone"), [net.tags(name).count("alone") for name in net.others(leader)]
