"""`quorate node` on a disk that keeps only synced data: `kill -9` of this process is a loss of power for its node.

    python -m tests.system.powerless_node node --config FILE

It is the same command with another `Files`: that of the simulation, which keeps unsynced writes in memory, above a real
directory. A sync, a durable write, a rename, a removal or a truncation reaches the directory before the call returns.
Some blocks of unsynced data reach it early and in any order, as a kernel writes back at any time. So a log may end
torn; POWER_SEED in the environment decides how. The lock, the pid file and the database of the sink are ordinary files.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path
from unittest.mock import patch

from quorate.cli import main
from quorate.cluster.raft.storage import directory
from quorate.cluster.raft.storage.files import OsFiles
from tests.simulation.files import SimFiles, survivors
from tests.support.waiting import let_pass

SYNC_MAX_S = 0.03  # as on a slow disk: the power may fail in the middle of a sync
EARLY = 0.3  # the share of unsynced writes of which some blocks reach the disk early


class SyncedFiles(SimFiles):
    """Like `OsFiles`, but only synced data surely reaches the directory."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(random.Random(f"{os.environ.get('POWER_SEED', '0')}.{path}"))
        self.where = str(path)
        self._disk = OsFiles(path)
        self._one_at_a_time = threading.RLock()
        for name in self._disk.names():
            self.put(name, self._disk.read(name))
        print(f"{path} keeps only what is synced", file=sys.stderr, flush=True)

    def names(self) -> list[str]:
        with self._one_at_a_time:
            return super().names()

    def size(self, name: str) -> int:
        with self._one_at_a_time:
            return super().size(name)

    def read(self, name: str) -> bytes:
        with self._one_at_a_time:
            return super().read(name)

    def read_at(self, name: str, offset: int, size: int) -> bytes:
        with self._one_at_a_time:
            return super().read_at(name, offset, size)

    def write(self, name: str, offset: int, data: bytes, *, durable: bool = False) -> None:
        with self._one_at_a_time:
            super().write(name, offset, data, durable=durable)
            if not durable and self.rng.random() < EARLY:
                self._arrive(name, [(offset, data)])

    def sync(self, name: str) -> None:
        with self._one_at_a_time:
            pieces = list(self._file(name).unsynced)
            self._arrive(name, pieces)
            let_pass(self.rng.uniform(0, SYNC_MAX_S), because="a disk takes its time")
            for offset, data in pieces:
                self._disk.write(name, offset, data)
            self._disk.sync(name)
            super().sync(name)

    def truncate(self, name: str, size: int) -> None:
        with self._one_at_a_time:
            super().truncate(name, size)
            self._disk.truncate(name, size)

    def replace(self, old: str, new: str) -> None:
        with self._one_at_a_time:
            super().replace(old, new)
            self._disk.write(old, 0, b"")  # of a file that was never synced, only the name is renamed
            self._disk.replace(old, new)

    def remove(self, name: str) -> None:
        with self._one_at_a_time:
            super().remove(name)
            if name in self._disk.names():
                self._disk.remove(name)

    def close(self) -> None:
        self._disk.close()

    def _arrive(self, name: str, writes: list[tuple[int, bytes]]) -> None:
        for offset, block in survivors(self.rng, writes, bytes(self._file(name).durable)):
            self._disk.write(name, offset, block)


if __name__ == "__main__":
    with patch.object(directory, "OsFiles", SyncedFiles):
        sys.exit(main())
