"""The faults that tests cause in a cluster while clients vote."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

from quorate.chaos.orders import Orders, write_orders
from tests.support.cluster import Cluster
from tests.support.history import History
from tests.support.voters import Voters, sends

OPTIONS = ["happy", "sad", "🙂", "so.so", "$"]
LAG_MAX = 1_000  # entries that a node may lag behind under load, and still count as caught up

VOTES_A_FAULT_MAX = 15_000  # cast while a fault is repaired; those of 50 faults fit into the default dedup window


Fault = Callable[[Cluster], object]


def kill_leader(cluster: Cluster) -> None:
    """kill -9 of the leader. It is started again when another node leads."""
    victim = cluster.leader()
    victim.kill()
    cluster.leader(other_than=victim)
    victim.start()


def pause_leader(cluster: Cluster) -> None:
    """SIGSTOP of the leader. It continues when another node leads, and still believes that it leads itself."""
    victim = cluster.leader()
    victim.pause()
    cluster.leader(other_than=victim)
    victim.resume()


def kill_all(cluster: Cluster) -> None:
    """kill -9 of all nodes at once. All are started again. For nodes of `powerless` this is a power cut."""
    for node in cluster.nodes:
        node.signal(signal.SIGKILL)
    for node in cluster.nodes:
        node.ended()
    cluster.start()


def powerless(folder: Path, seed: int) -> Cluster:
    """Nodes for which `kill -9` is a loss of power. Their logs are small, so that it interrupts snapshots too."""
    small = {"raft.snapshot_bytes": 65_536}
    cluster = Cluster(folder, settings=small, module="quorate.chaos.victim")
    for number, node in enumerate(cluster.nodes):
        write_orders(node.folder, Orders(holds_back=True, seed=seed + number))
    return cluster


def votes(count: int) -> dict[str, str]:
    """id -> option, for `count` ids."""
    return {f"v{i:07d}": OPTIONS[i % 7 % len(OPTIONS)] for i in range(count)}


def vote_through(cluster: Cluster, fault: Fault, *, count: int, times: int, seed: int) -> History:
    """Cast at least `count` votes (3 % of them twice) from 16 clients at all nodes, with `times` faults in that time.

    There is one fault at a time. Before each fault the cluster is whole, and the fault comes at a random moment. The
    clients go on until the last fault is over.
    """
    supply = votes(count + times * VOTES_A_FAULT_MAX)
    history, chance = History(supply), random.Random(f"{seed}.moments")
    order = sends(supply, twice=0.03, seed=seed, within=count // 2)
    voters = Voters(cluster.urls, history, order, clients=16, seed=seed, goal=count)
    voters.start()
    for i in range(times):
        cluster.wait_whole(lag_max=LAG_MAX)
        # Each fault has its part of the voting. If that part has begun already, the fault comes some votes later.
        voters.wait_until(max((i + chance.random()) / (times + 1), voters.share + chance.random() / (times + 1)))
        assert voters.voting, f"all {len(supply):,} votes were cast before fault {i + 1} of {times}"
        fault(cluster)
    voters.enough()
    voters.finish(deadline_s=60 + count / 500)
    history.keep(voters.begun)
    return history
