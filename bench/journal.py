"""Measures how many groups of entries a disk makes durable in a second: our log beside SQLite and LMDB, in one run.

    python bench/journal.py [--dir DIR] [--seconds 2] [--rounds 3]

A group is written in one sync or transaction: some entries, the term and the ballot. Each store has its safest
settings: SQLite in WAL mode with synchronous=FULL, LMDB with its defaults. LMDB is measured if `import lmdb` works; it
is not a dependency. The stores take turns in each round, so that a busy machine affects all of them. The best round
counts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from quorate.cluster.raft.storage import journal as journals
from quorate.cluster.raft.storage.files import OsFiles
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.segments import chain_of
from quorate.cluster.raft.storage.writer import ThreadWriter

try:
    import lmdb  # type: ignore[import-not-found]  # measured where somebody installed it; no dependency
except ImportError:
    lmdb = None

T = TypeVar("T")
WORKLOADS = [(1, 200), (32, 200), (256, 200), (1, 100_000)]  # entries a group, bytes an entry
Commit = Callable[[list[tuple[int, int, bytes]]], None]


class Inline:
    """A `Writer` that works on the calling thread, to measure the time of the disk as for the other stores."""

    def run(
        self, operation: Callable[[], T], done: Callable[[T | BaseException], None], *, brief: bool = False
    ) -> None:
        done(operation())

    def wait(self, operation: Callable[[], T], *, timeout_s: float) -> T:
        return operation()

    def stop(self) -> None:
        pass


def ours(path: Path, zeros_ahead: int = journals.ZEROS_AHEAD_BYTES) -> tuple[Commit, Callable[[], None]]:
    journals.ZEROS_AHEAD_BYTES = zeros_ahead
    files = OsFiles(path)
    log = Journal.open(files, Inline(), snapshot=None, on_failure=_raise)

    def commit(entries: list[tuple[int, int, bytes]]) -> None:
        log.setCurrentTerm(log.getCurrentTerm() + 1, "n1")
        for index, term, command in entries:
            log.add(command, index, term)
        log.flush()
        if len(log) > 10_000:
            log.deleteEntriesTo(len(log) - 1)  # as after a snapshot

    def close() -> None:
        log.close()
        files.close()

    return commit, close


def growing(path: Path) -> tuple[Commit, Callable[[], None]]:
    return ours(path, zeros_ahead=0)


def sqlite(path: Path) -> tuple[Commit, Callable[[], None]]:
    database = sqlite3.connect(path / "log.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table log (i integer primary key, term integer, chain blob, command blob)")
    database.execute("create table meta (id integer primary key, term integer, ballot text)")
    chain = bytes(16)

    def commit(entries: list[tuple[int, int, bytes]]) -> None:
        nonlocal chain
        rows = []
        for index, term, command in entries:
            chain = chain_of(chain, index, term, command)
            rows.append((index, term, chain, command))
        database.execute("begin immediate")
        database.executemany("insert or replace into log values (?, ?, ?, ?)", rows)
        database.execute("insert or replace into meta values (1, ?, ?)", (entries[-1][0], "n1"))
        database.execute("commit")

    return commit, database.close


def lightning(path: Path) -> tuple[Commit, Callable[[], None]]:
    environment = lmdb.open(str(path), map_size=8 << 30, max_dbs=2)
    log, meta = environment.open_db(b"log"), environment.open_db(b"meta")
    chain = bytes(16)

    def commit(entries: list[tuple[int, int, bytes]]) -> None:
        nonlocal chain
        with environment.begin(write=True) as transaction:
            for index, term, command in entries:
                chain = chain_of(chain, index, term, command)
                value = term.to_bytes(8, "big") + chain + command
                transaction.put(index.to_bytes(8, "big"), value, append=True, db=log)
            transaction.put(b"term", entries[-1][0].to_bytes(8, "big") + b"n1", db=meta)

    return commit, environment.close


def _raise(error: BaseException) -> None:
    raise error


# ---- measuring ------------------------------------------------------------------------------------------------------


@dataclass
class Round:
    groups_per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float  # of this process, a group


def measure(
    open_store: Callable[[Path], tuple[Commit, Callable[[], None]]],
    directory: Path,
    size: int,
    entry_bytes: int,
    seconds: float,
) -> Round:
    path = Path(tempfile.mkdtemp(dir=directory))
    commit, close = open_store(path)
    command, index, times = os.urandom(entry_bytes), 2, []
    cpu = began = 0.0
    warm_up = 20
    while True:
        entries = [(index + i, index, command) for i in range(size)]
        index += size
        start = time.perf_counter()
        commit(entries)
        end = time.perf_counter()
        times.append(end - start)
        if len(times) == warm_up and not began:
            times, began, cpu = [], end, time.process_time()
        elif began and end - began > seconds:
            break
    cpu = time.process_time() - cpu
    close()
    shutil.rmtree(path)
    times.sort()
    return Round(
        len(times) / sum(times),
        1e6 * times[len(times) // 2],
        1e6 * times[len(times) * 99 // 100],
        1e6 * cpu / len(times),
    )


async def beside_a_loop(directory: Path, seconds: float, busy: bool, aside: bool) -> float:
    """Groups of one entry a second through the disk thread, beside a loop that is idle or always busy."""
    loop = asyncio.get_running_loop()
    files = OsFiles(tempfile.mkdtemp(dir=directory))
    writer = ThreadWriter(loop, steps_aside=aside)
    groups, command, over = 0, os.urandom(200), loop.create_future()

    def again() -> None:
        nonlocal groups
        groups += 1
        log.add(command, log.last_index + 1, 0)
        if loop.time() > end and not over.done():
            over.set_result(None)

    def handle() -> None:
        sum(range(3_000))  # some 100 microseconds, as other requests would take
        if not over.done():
            loop.call_soon(handle)

    end = loop.time() + seconds
    log = Journal.open(files, writer, snapshot=None, on_failure=_raise, on_synced=again)
    again()
    log.flush()
    if busy:
        handle()
    await over
    log.close()
    writer.stop()
    files.close()
    return groups / seconds


def stores() -> Iterator[tuple[str, Callable[[Path], tuple[Commit, Callable[[], None]]]]]:
    yield "our log", ours
    yield "our log, growing", growing
    yield "SQLite", sqlite
    if lmdb is not None:
        yield "LMDB", lightning


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=None, help="where to write (default: a temporary directory)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each round")
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as name:
        directory = Path(name)
        report(directory, given.seconds, given.rounds)


def report(directory: Path, seconds: float, rounds: int) -> None:
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, Linux {platform.release()}, ", end="")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {rounds} rounds of {seconds} s, the best counts")
    for size, entry_bytes in WORKLOADS:
        best: dict[str, Round] = {}
        for _ in range(rounds):
            for name, open_store in stores():
                found = measure(open_store, directory, size, entry_bytes, seconds)
                if name not in best or found.groups_per_s > best[name].groups_per_s:
                    best[name] = found
        print(f"\n{size} x {entry_bytes:,} bytes        groups/s   p50 us   p99 us   CPU us")
        for name, found in best.items():
            print(f"{name:22s} {found.groups_per_s:10,.0f} {found.p50_us:8.0f} {found.p99_us:8.0f} {found.cpu_us:8.0f}")
    print("\n1 x 200 bytes through the disk thread   groups/s")
    for busy, aside in ((False, False), (False, True), (True, False), (True, True)):
        rate = max(asyncio.run(beside_a_loop(directory, seconds, busy, aside)) for _ in range(rounds))
        print(
            f"loop {'busy' if busy else 'idle'}, {'stands aside' if aside else 'never stands aside':20s} {rate:14,.0f}"
        )


if __name__ == "__main__":
    main()
