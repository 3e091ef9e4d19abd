"""The journal on a real disk, with the disk thread: what it calls durable survives the process."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

from quorate.cluster.raft.storage.files import OsFiles
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.writer import ThreadWriter
from tests.simulation.files import SimFiles, SimWriter
from tests.unit.raft.small_logs import append


def test_records_that_are_called_durable_are_on_a_real_disk(tmp_path: Path) -> None:
    async def work() -> tuple[list[tuple[bytes, int, int]], int]:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        files, writer = OsFiles(tmp_path), ThreadWriter(loop)
        journal = Journal.open(files, writer, snapshot=None, on_failure=_fail, on_synced=done.set, segment_bytes=20_000)
        found = journal[1:]
        for _ in range(50):
            append(journal, b"x" * 1_000, b"")
            journal.flush()
        while journal.synced < journal.position:
            done.clear()
            await asyncio.wait_for(done.wait(), 10)
        held = journal[1:]
        journal.close()
        writer.stop()
        files.close()
        return found, len(held)

    assert ([], 100) == asyncio.run(work())
    found, held = asyncio.run(work())
    assert 200 == held
    assert [(b"x" * 1_000, 2, 0), (b"", 3, 0)] == found[:2]
    assert 100 == len(found)


def test_records_that_are_called_durable_survive_a_killed_process(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITE_AND_TELL, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(200)][-1]
    process.kill()
    told = max([told, *map(int, process.stdout.read().split(b"\n")[:-1])])
    process.wait(10)
    journal = Journal.open(OsFiles(tmp_path), SimWriter(SimFiles(random.Random(0))), snapshot=None, on_failure=_fail)
    assert told <= journal.last_index


ROOT = Path(__file__).parents[3]
_WRITE_AND_TELL = """
import random, sys
from quorate.cluster.raft.storage.files import OsFiles
from quorate.cluster.raft.storage.journal import Journal
from tests.simulation.files import SimFiles, SimWriter

writer = SimWriter(SimFiles(random.Random(0)))
journal = Journal.open(OsFiles(sys.argv[1]), writer, snapshot=None, on_failure=sys.exit, segment_bytes=50_000)
while True:
    journal.add(b"x" * 100, journal.last_index + 1, 0)
    journal.flush()
    writer.drain()
    print(journal.synced_index, flush=True)
"""


def _fail(error: BaseException) -> None:
    raise AssertionError("the journal says that the disk failed") from error
