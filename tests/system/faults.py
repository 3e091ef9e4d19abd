"""What is done to a cluster while clients vote."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.system.cluster import Cluster
from tests.system.history import History
from tests.system.voters import Voters, sends

OPTIONS = ["happy", "sad", "🙂", "so.so", "$"]

Fault = Callable[[Cluster], None]


def kill_leader(cluster: Cluster) -> None:
    """kill -9; it comes back when another one leads."""
    victim = cluster.leader()
    victim.kill()
    cluster.leader(other_than=victim)
    victim.start()


def pause_leader(cluster: Cluster) -> None:
    """SIGSTOP; it goes on, sure that it leads, when another one does."""
    victim = cluster.leader()
    victim.pause()
    cluster.leader(other_than=victim)
    victim.resume()


def kill_all(cluster: Cluster) -> None:
    """kill -9 of every node at once, as a power cut; all start again."""
    for node in cluster.nodes:
        node.signal(signal.SIGKILL)
    for node in cluster.nodes:
        node.ended()
    cluster.start()


FAULTS: dict[str, Fault] = {"kill": kill_leader, "pause": pause_leader, "kill-all": kill_all}


def votes(count: int) -> dict[str, str]:
    """id -> option: every id once."""
    return {f"v{i:07d}": OPTIONS[i % 7 % len(OPTIONS)] for i in range(count)}


def vote_through(cluster: Cluster, fault: Fault, *, count: int, times: int, seed: int) -> History:
    """Cast `count` votes (3 % of them sent twice) from 16 clients over all nodes, with `times` faults meanwhile."""
    history = History(votes(count))
    voters = Voters(cluster.urls, history, sends(history.votes, twice=0.03, seed=seed), clients=16, seed=seed)
    voters.start()
    for i in range(times):
        voters.wait_until((i + 1) / (times + 2))
        fault(cluster)
    voters.finish(deadline_s=60 + count / 500)
    return history
