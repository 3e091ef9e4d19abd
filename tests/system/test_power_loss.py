"""All nodes lose their power at once, under load. Acknowledged votes are there after the restart.

The processes and sockets are real. Only the disks forget unsynced data (`chaos/victim`).
`quorate chaos --faults power-cut-all` is a longer run of the same.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.verdict import assert_exact
from tests.system import faults


@pytest.mark.timeout(300)
def test_power_loss_of_all_nodes_loses_nothing_acknowledged(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    with faults.powerless(tmp_path, seed) as cluster, cluster.client() as client:
        client.create_poll("mood", faults.OPTIONS)
        history = faults.vote_through(cluster, faults.kill_all, count=3_000, times=3, seed=seed)
        for node in cluster.nodes:
            assert 4 == node.output().count("holds_back=True"), "the node ran on a disk that forgets nothing"
        assert_exact(cluster, "mood", history)
