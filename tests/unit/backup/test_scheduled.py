"""Backups by a schedule: taken by the leader alone, kept in number, tried again, and broken off when it is deposed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quorate.backup.due import name_of
from quorate.backup.reading import read_backup
from quorate.backup.scheduled import BackupSchedule
from quorate.backup.store import FolderStore
from quorate.cluster import entry
from quorate.config.sections.backup import ScheduledBackup
from quorate.errors import BackupNotWritten, NoLeader
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import on_loop

DAILY = "0 3 * * *"
NOON_S = 1_795_780_800.0  # 2026-11-27 12:00 UTC


class SetClock:
    now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def scheduled(
    replica: LocalReplica, store: FolderStore, clock: SetClock, *, keep: int = 3, confirms: bool = True
) -> AsyncIterator[BackupSchedule]:
    async def confirm(wait_s: float) -> None:
        if not confirms:
            raise NoLeader("a majority says nothing")

    settings = ScheduledBackup(schedule=DAILY, to=store.where, keep=keep)
    schedule = BackupSchedule(replica, store, settings, confirm=confirm, clock=clock, retry_s=0.02)
    schedule.start()
    try:
        yield schedule
    finally:
        await schedule.stop()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


def wake(schedule: BackupSchedule) -> None:
    """As if it had slept."""
    assert schedule._taker is not None
    schedule._taker.wake.set()


@on_loop
async def test_the_leader_takes_one_at_once_and_the_next_when_it_is_due(tmp_path: Path) -> None:
    replica, clock = LocalReplica(), SetClock()
    async with scheduled(replica, FolderStore(tmp_path), clock) as schedule:
        await until(lambda: schedule.status().last_version)
        [first] = os.listdir(tmp_path)
        assert name_of("c1", NOON_S, 1) == first == schedule.status().last
        assert replica.state.digest() == read_backup(tmp_path / first)[0].digest
        told = schedule.status()
        assert (15 * 3600, 0.0, 1, None) == (told.next_in_s, told.last_age_s, told.kept, told.last_error)
        await replica.propose(entry.encode_entry(1, []))
        clock.now_s += 15 * 3600
        wake(schedule)
        await until(lambda: schedule.status().last_version == 2)
    assert 2 == len(os.listdir(tmp_path))


@on_loop
async def test_a_follower_takes_none_until_it_leads_and_goes_on_from_what_is_there(tmp_path: Path) -> None:
    replica, clock = LocalReplica(), SetClock()
    (tmp_path / name_of("c1", NOON_S - 3600, 1)).write_bytes(b"")
    replica.leader = "n2"
    async with scheduled(replica, FolderStore(tmp_path), clock) as schedule:
        assert (False, None) == (schedule.status().leads, schedule.status().last)
        replica.lead("n1")
        await until(lambda: schedule.status().last)
        told = schedule.status()
        assert (True, 3600.0, 15 * 3600) == (told.leads, told.last_age_s, told.next_in_s)
    assert 1 == len(os.listdir(tmp_path))


@on_loop
async def test_the_newest_are_kept_and_nothing_of_others_is_removed(tmp_path: Path) -> None:
    others = {name_of("c2", NOON_S, 1), "mine.backup"}
    for name in others | {name_of("c1", NOON_S - day * 86_400, 0) for day in range(1, 6)}:
        (tmp_path / name).write_bytes(b"")
    async with scheduled(LocalReplica(), FolderStore(tmp_path), SetClock(), keep=3) as schedule:
        await until(lambda: schedule.status().last_version)
        assert 3 == schedule.status().kept
    assert others <= set(os.listdir(tmp_path))
    assert 5 == len(os.listdir(tmp_path))


@on_loop
async def test_old_ones_that_cannot_be_removed_are_told_and_the_new_one_counts(tmp_path: Path) -> None:
    class WithoutRights(FolderStore):
        def remove(self, name: str) -> None:
            raise BackupNotWritten(f"{name} cannot be removed")

    (tmp_path / name_of("c1", NOON_S - 10 * 86_400, 0)).write_bytes(b"")
    async with scheduled(LocalReplica(), WithoutRights(tmp_path), SetClock(), keep=1) as schedule:
        await until(lambda: schedule.status().last_version)
        await until(lambda: not schedule.status().busy)
        told = schedule.status()
        assert (2, 0, None) == (told.kept, told.failures, told.failing_s)
        assert "cannot be removed" in (told.last_error or "")


@on_loop
async def test_a_leader_that_no_majority_confirms_takes_and_removes_nothing(tmp_path: Path) -> None:
    names = {name_of("c1", NOON_S - day * 86_400, 0) for day in range(2, 6)}
    for name in names:
        (tmp_path / name).write_bytes(b"")
    async with scheduled(LocalReplica(), FolderStore(tmp_path), SetClock(), keep=1, confirms=False) as schedule:
        await until(lambda: schedule.status().kept)
        await until(lambda: not schedule.status().busy)
    assert names == set(os.listdir(tmp_path))


@on_loop
async def test_a_cluster_that_is_formed_after_its_leader_leads_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorate.backup.scheduled.AGAIN_S", 0.01)
    replica = LocalReplica(form=False)
    async with scheduled(replica, FolderStore(tmp_path), SetClock()) as schedule:
        await replica.propose(entry.encode_entry(1, [entry.encode_batch([entry.FormCluster("c1", b"k" * 16, 1)])]))
        await until(lambda: schedule.status().last_version == 1)


@on_loop
async def test_a_failure_is_told_and_it_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder := tmp_path / "to").write_bytes(b"in the way")
    async with scheduled(LocalReplica(), FolderStore(folder), SetClock()) as schedule:
        await until(lambda: schedule.status().failures > 2)
        told = schedule.status()
        assert "cannot be read" in (told.last_error or "")
        assert told.failing_s is not None
        folder.unlink()
        await until(lambda: schedule.status().last)
        assert (None, None) == (schedule.status().last_error, schedule.status().failing_s)
    warnings = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert 1 == len(warnings), "one line for each new reason, and not for each try"


@on_loop
async def test_a_leader_that_is_deposed_breaks_off(tmp_path: Path) -> None:
    replica = LocalReplica()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(FolderStore):
        def put(self, name: str, pieces: Iterable[bytes]) -> int:
            def slowly() -> Iterable[bytes]:
                for piece in pieces:
                    yield piece
                    loop.call_soon_threadsafe(begun.set)
                    while schedule.status().leads:
                        pass

            return super().put(name, slowly())

    async with scheduled(replica, Slow(tmp_path), SetClock()) as schedule:
        await asyncio.wait_for(begun.wait(), 10)
        replica.lead("n2")
        await until(lambda: not os.listdir(tmp_path))
        assert not schedule.status().leads
