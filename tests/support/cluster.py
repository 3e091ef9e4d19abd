"""A real cluster on loopback, in a folder of the test: nodes show tracebacks, and a module of the tests may run them.

with Cluster(tmp_path) as cluster:
    cluster.leader().kill()
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from quorate.processes.cluster import FreshCluster
from quorate.vote import Vote
from tests.support.checkout import ROOT


class Cluster(FreshCluster):
    """`module` is the module that runs each node, with `env` added to its environment."""

    def __init__(
        self,
        folder: Path,
        size: int = 3,
        settings: Mapping[str, Any] | None = None,
        *,
        module: str = "quorate",
        env: Mapping[str, str] | None = None,
        token: str | None = None,
        ca: str | None = None,
        resp: bool = False,
    ) -> None:
        command, env = [sys.executable, "-m", module], {"QUORATE_TRACEBACK": "1", **(env or {})}
        super().__init__(folder, size, settings, command=command, env=env, cwd=ROOT, token=token, ca=ca, resp=resp)

    def cast(self, name: str, votes: int) -> None:
        """Cast votes for "happy", one by one: their ids are NAME-0, NAME-1 and so on."""
        with self.client() as client:
            for number in range(votes):
                client.vote(Vote("happy", id=f"{name}-{number}"))

    def in_sqlite(self, poll_id: str) -> dict[str, int] | None:
        return in_sqlite(self.sqlite, poll_id)


def in_sqlite(path: Path, poll_id: str) -> dict[str, int] | None:
    """The results in the database, read as any program would read them. None if there are none."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
        row = database.execute("select results from polls where id = ?", (poll_id,)).fetchone()
    return json.loads(row[0]) if row else None
