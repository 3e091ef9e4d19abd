"""How long nobody can write after `kill -9` of the leader: from the signal to the next accepted vote."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from contextlib import closing

from tests.system.cluster import Cluster, NodeProcess

PAUSE_S = 0.005
GIVE_UP_S = 30.0

_numbers = itertools.count(1)


def kills(cluster: Cluster, times: int) -> list[float]:
    """Seconds without a write, one number a kill. The killed node comes back before the next."""
    gaps = []
    for _ in range(times):
        victim = cluster.leader()
        survivors = [node for node in cluster.nodes if node is not victim]
        accepted = Accepted()
        threads = [threading.Thread(target=knock, args=(node, accepted), daemon=True) for node in survivors]
        started_s = time.monotonic()
        victim.kill()
        for thread in threads:
            thread.start()
        accepted.event.wait(GIVE_UP_S)
        for thread in threads:
            thread.join(GIVE_UP_S)
        gaps.append(accepted.at_s - started_s)
        victim.start()
        cluster.wait_ready()
    return gaps


class Accepted:
    def __init__(self) -> None:
        self.event = threading.Event()
        self.at_s = float("inf")


def knock(node: NodeProcess, accepted: Accepted) -> None:
    """Send votes, each with an id of its own, until any node has accepted one."""
    while not accepted.event.is_set():
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=5)) as connection:
                body = f'{{"option":"happy","id":"failover-{next(_numbers)}"}}'
                connection.request("POST", "/votes", body, {"Content-Type": "application/json"})
                ok = connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            ok = False
        if ok and not accepted.event.is_set():
            accepted.at_s = time.monotonic()
            accepted.event.set()
        time.sleep(PAUSE_S)
