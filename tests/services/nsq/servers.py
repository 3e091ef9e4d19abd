"""nsqd and nsqlookupd for tests, to start, kill, pause and restart: the double, or the real programs from PATH.

Each process listens on loopback, on free ports that it keeps when it restarts, and has a folder of its own.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import pytest

from quorate.processes.nsq_server import NsqServer, Program

Kind = Literal["double", "nsqd"]
ROOT = Path(__file__).parents[3]
DURABLE = {"mem_queue_size": 0, "sync_every": 1}  # with one of these flags alone, a killed nsqd loses its queue

KINDS = [
    pytest.param("double", id="double"),
    pytest.param(
        "nsqd",
        id="nsqd",
        marks=pytest.mark.skipif(
            not (shutil.which("nsqd") and shutil.which("nsqlookupd")),
            reason="nsqd and nsqlookupd are not on PATH: held to by the double alone",
        ),
    ),
]


def _command(kind: Kind, program: str) -> list[str]:
    if kind == "double":
        return [sys.executable, "-m", "tests.doubles.nsq", program]
    path = shutil.which(program)
    assert path is not None
    # The real program offers compression by default, the double never. Both must give the same answers.
    return [path, "--deflate=false", "--snappy=false"] if program == "nsqd" else [path]


class Server(NsqServer):
    """A server of one kind. `flags` are the real program's, with `_` for `-`. Every start uses them."""

    def __init__(self, kind: Kind, program: Program, folder: Path, **flags: object) -> None:
        self.kind = kind
        super().__init__(program, _command(kind, program), folder, cwd=ROOT, **flags)

    def ready(self, topic: str, channel: str) -> list[int]:
        """How many messages each consumer of the channel asks for at a time."""
        return [client["ready_count"] for client in self.channel(topic, channel)["clients"]]


class Servers:
    """Starts servers of one kind for one test, and ends them all."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self._all: list[Server] = []

    def nsqd(self, **flags: object) -> Server:
        return self._start("nsqd", flags)

    def lookupd(self, **flags: object) -> Server:
        return self._start("nsqlookupd", flags)

    def _start(self, program: Program, flags: dict[str, object]) -> Server:
        server = Server(self.kind, program, self.folder / f"{program}-{len(self._all)}", **flags)
        self._all.append(server)
        server.start()
        return server

    def end(self) -> None:
        with ExitStack() as stack:
            for server in self._all:
                stack.callback(server.close)


@contextmanager
def servers_of(kind: Kind, folder: Path) -> Iterator[Servers]:
    made = Servers(kind, folder)
    try:
        yield made
    finally:
        made.end()
