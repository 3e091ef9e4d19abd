"""A stock node on a real port forks to write its dump, says its child's process id, and is killed.

The child is in the middle of the dump: it waits for a file, as a child with a big state takes its time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pysyncobj import SyncObj, SyncObjConf

DEADLINE_S = 20.0


class Slow:
    """State that is not written before a file is there."""

    def __init__(self, go_on: Path) -> None:
        self.go_on = go_on

    def __reduce__(self) -> tuple[Any, ...]:
        end_s = time.monotonic() + DEADLINE_S
        while not self.go_on.exists() and time.monotonic() < end_s:
            threading.Event().wait(0.01)
        return str, ("the state",)


def main(port: int, folder: Path, go_on: Path) -> None:
    me = f"127.0.0.1:{port}"
    node = SyncObj(me, [], SyncObjConf(autoTick=False, bindAddress=me, fullDumpFile=str(folder / "dump")))
    end_s = time.monotonic() + DEADLINE_S
    while node.raftLastApplied < 2 and time.monotonic() < end_s:
        node.doTick(0.01)
    node.state = Slow(go_on)
    node.forceLogCompaction()
    node.doTick(0)
    print(node._SyncObj__serializer._Serializer__pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
