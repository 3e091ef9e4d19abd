"""`quorate node`, on a disk that keeps only what was synced: `kill -9` of this process is a loss of power to its node.

    python -m tests.system.powerless_node node --config FILE

It is the same command with another `Files`: the simulation's, which holds unsynced writes in memory, over a real
directory that is given what a sync, a durable write, a rename, a removal or a cut makes durable, before the call
returns. Some blocks of what is not synced arrive early and in no order, as a kernel writes back when it likes: so a log
may end torn, with POWER_SEED in the environment saying how. The lock, the pid file and the sink's database are no part
of it.
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

SYNC_MAX_S = 0.03  # as a slow disk: while a sync lasts, the power may go with half of it done
EARLY = 0.3  # of the writes that nobody synced: something of them is on the disk soon


class SyncedFiles(SimFiles):
    """`OsFiles`, but only what is synced ever reaches the directory for sure."""

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
            self._disk.write(old, 0, b"")  # if it was never synced, its name is all that is renamed
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
