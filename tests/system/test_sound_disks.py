"""Nodes are killed at random while clients vote, one, two or all at once, and come back in any order.

All of their disks are sound. So no node is called old, removed or of another history, however much was not synced.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from quorate.cluster.raft.members import REMOVED
from quorate.cluster.raft.membership.histories import OTHER_HISTORY
from tests.support.cluster import Cluster
from tests.support.history import History
from tests.support.verdict import assert_nothing_lost
from tests.support.voters import Voters, sends
from tests.support.waiting import let_pass
from tests.system import faults

ROUNDS = 5
ACCUSATIONS = ("has forgotten", OTHER_HISTORY, REMOVED)


def _kill_some(cluster: Cluster, chance: random.Random) -> None:
    victims = chance.sample(cluster.nodes, chance.randint(1, len(cluster.nodes)))
    for node in victims:
        node.signal(signal.SIGKILL)
    for node in victims:
        node.ended()
    for node in chance.sample(victims, len(victims)):
        let_pass(chance.choice((0.0, chance.uniform(0, 1))), because="nodes come back at different moments")
        node.start()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("power", [False, True])
def test_no_sound_disk_is_accused_whenever_its_node_is_killed(power: bool, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with faults.powerless(tmp_path, seed) if power else Cluster(tmp_path) as cluster, cluster.client() as client:
        client.create_poll("mood", faults.OPTIONS)
        history = History(faults.votes(100_000))
        voters = Voters(cluster.urls, history, sends(history.votes, twice=0.03, seed=seed), clients=4, seed=seed)
        voters.start()
        for _ in range(ROUNDS):
            let_pass(chance.uniform(0.1, 1.2), because="the kill comes at a random moment")
            _kill_some(cluster, chance)
            if chance.random() < 0.5:
                cluster.wait_ready()
        voters.stop()
        cluster.wait_ready()
        history.keep(voters.begun)
        assert_nothing_lost(cluster, "mood", history)
        lines = [line for node in cluster.nodes for line in node.output().splitlines()]
        assert [] == [line for line in lines if any(words in line for words in ACCUSATIONS)]
