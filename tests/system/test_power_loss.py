"""All nodes lose their power at once, under load. Acknowledged votes are there after the restart.

The processes and sockets are real. Only the disks forget unsynced data (`powerless_node.py`).
`python -m tests.system.long_run --fault power` is a longer run of the same.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.verdict import assert_exact
from tests.system import faults
from tests.system.powerless_node import SyncedFiles


@pytest.mark.timeout(300)
def test_power_loss_of_all_nodes_loses_nothing_acknowledged(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    with faults.powerless(tmp_path, seed) as cluster, cluster.client() as client:
        client.create_poll("mood", faults.OPTIONS)
        seen = faults.vote_through(cluster, faults.kill_all, count=3_000, times=3, seed=seed)
        for node in cluster.nodes:
            assert 4 == node.output().count("keeps only what is synced"), "the node ran on a disk that forgets nothing"
        assert_exact(cluster, "mood", seen.history)


def test_only_what_is_synced_is_there_after_the_power_went(tmp_path: Path) -> None:
    """A test of the simulated disk. Unsynced data may be there in part, and its file may be missing."""
    written = bytes(range(256)) * 64
    there = []
    for i in range(40):
        folder = tmp_path / str(i)
        folder.mkdir()
        files = SyncedFiles(folder)
        files.write("synced", 0, written)
        files.sync("synced")
        files.write("unsynced", 0, written)
        files.write("aside", 0, written, durable=True)
        files.replace("aside", "renamed")
        files.close()
        after = SyncedFiles(folder)
        assert [written, written] == [after.read("synced"), after.read("renamed")]
        assert "aside" not in after.names()
        there.append(after.read("unsynced") if "unsynced" in after.names() else None)
    assert None in there
    assert len(set(there)) > 2, "nothing arrived early, or always the same"
