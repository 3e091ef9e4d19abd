"""What is done to a cluster while clients vote."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support.cluster import Cluster
from tests.support.history import History
from tests.support.voters import Voters, sends

OPTIONS = ["happy", "sad", "🙂", "so.so", "$"]
LAG_MAX = 1_000  # entries, under load: what a node has fetched and not yet applied between two probes

VOTES_A_FAULT_MAX = 15_000  # cast while one is mended; all of 50 faults fit into the default dedup window


class Struck(NamedTuple):
    """When a fault began, and when the nodes it meant surely answered no more (monotonic)."""

    at_s: float
    silent_s: float


Fault = Callable[[Cluster], Struck]


class Outcome(NamedTuple):
    history: History
    gaps_s: list[float]  # from each fault to the next accepted write, as the clients saw it


def kill_leader(cluster: Cluster) -> Struck:
    """kill -9; it comes back when another one leads."""
    victim = cluster.leader()
    at_s = time.monotonic()
    victim.kill()
    struck = Struck(at_s, time.monotonic())
    cluster.leader(other_than=victim)
    victim.start()
    return struck


def pause_leader(cluster: Cluster) -> Struck:
    """SIGSTOP; it goes on, sure that it leads, when another one does."""
    victim = cluster.leader()
    at_s = time.monotonic()
    victim.pause()
    struck = Struck(at_s, time.monotonic())
    cluster.leader(other_than=victim)
    victim.resume()
    return struck


def kill_all(cluster: Cluster) -> Struck:
    """kill -9 of every node at once; all start again. To nodes of `powerless`, that is a power cut."""
    at_s = time.monotonic()
    for node in cluster.nodes:
        node.signal(signal.SIGKILL)
    for node in cluster.nodes:
        node.ended()
    struck = Struck(at_s, time.monotonic())
    cluster.start()
    return struck


def powerless(folder: Path, seed: int) -> Cluster:
    """Nodes to which `kill -9` is a loss of power. Small logs: their snapshots and removals are cut short too."""
    small = {"raft.snapshot_bytes": 65_536}
    return Cluster(folder, settings=small, module="tests.system.powerless_node", env={"POWER_SEED": str(seed)})


FAULTS: dict[str, Fault] = {"kill": kill_leader, "pause": pause_leader, "kill-all": kill_all, "power": kill_all}


def votes(count: int) -> dict[str, str]:
    """id -> option: every id once."""
    return {f"v{i:07d}": OPTIONS[i % 7 % len(OPTIONS)] for i in range(count)}


def vote_through(cluster: Cluster, fault: Fault, *, count: int, times: int, seed: int) -> Outcome:
    """Cast `count` votes or more (3 % of them twice) from 16 clients over all nodes, with `times` faults meanwhile.

    One fault at a time: the cluster is whole before each, which then comes at a random moment. The voting goes on
    until the last fault is over, however fast it is.
    """
    supply = votes(count + times * VOTES_A_FAULT_MAX)
    history, chance = History(supply), random.Random(f"{seed}.moments")
    order = sends(supply, twice=0.03, seed=seed, within=count // 2)
    voters = Voters(cluster.urls, history, order, clients=16, seed=seed, goal=count)
    voters.start()
    struck: list[Struck] = []
    for i in range(times):
        cluster.wait_whole(lag_max=LAG_MAX)
        # Not before the fault's own part of the voting; if that is late already, some votes later.
        voters.wait_until(max((i + chance.random()) / (times + 1), voters.share + chance.random() / (times + 1)))
        assert voters.voting, f"all {len(supply):,} votes were cast before fault {i + 1} of {times}"
        struck.append(fault(cluster))
    voters.enough()
    voters.finish(deadline_s=60 + count / 500)
    history.keep(voters.begun)
    return Outcome(history, [voters.first_accepted_s(after_s=s.silent_s) - s.at_s for s in struck])
