"""A follower that was cut off until the log it lacks is gone, and is joined again while another link is cut.

The leader can help it with a snapshot alone. The log is pushed on by polls with very many options, which are deleted at
once. They are not in the history, and nobody votes in them.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.nemesis import NotNow
from quorate.chaos.nemeses.ongoing import Ongoing
from quorate.chaos.toxics import Toxics
from quorate.chaos.workload.node_looks import EVERY_S as LOOK_EVERY_S
from quorate.client.http import JsonClient
from quorate.errors import QuorateError
from quorate.processes.node import NodeProcess

OPTIONS = [f"{number:05d}{'.' * 225}" for number in range(4_000)]  # 0.9 MB
BULK_MAX = 30
COMPACTED_S = 15.0
CALL_S = 3.0
CLOSED = Toxics(timeout_s=0.2)  # what waits on a link that is only silent would arrive when it is joined
INSTALLED_S = 6.0
POLL_S = 0.05
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class LateSnapshot:
    name: str = "partition-late-snapshot"
    about: str = "a follower is cut off until it needs a snapshot, which it gets while another link is cut"

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        (leading,), (late,) = choice.leader(cluster, rng), choice.follower(cluster, rng)
        choice.check_spared(cluster, late)
        others = [node for node in cluster.up() if node not in (leading, late)]
        if not others:
            raise NotNow("too few nodes are up")
        other = rng.choice(others)
        received = _received(late)
        ways = cluster.links.ways([late.id], [node.id for node in choice.others(cluster, [late])])
        join = cluster.links.disturb(dict.fromkeys(ways, CLOSED))
        try:
            _push_the_log_on(leading, late)
            mend_link = cluster.links.cut([late.id], [other.id])
        finally:
            join()

        def mend() -> None:
            end_s = time.monotonic() + INSTALLED_S
            while time.monotonic() < end_s and _received(late) <= received:
                time.sleep(POLL_S)
            time.sleep(LOOK_EVERY_S)  # so that the run sees it, too
            mend_link()

        words = f"{late.id} needs a snapshot, and its link to {other.id} is cut"
        return Ongoing([late, other], words, mend)


def _push_the_log_on(leading: NodeProcess, late: NodeProcess) -> None:
    """Until the leader's log begins behind the end of the other one's. Raises `NotNow`."""
    end_s = time.monotonic() + COMPACTED_S
    with JsonClient([leading.url], timeout_s=CALL_S) as client:
        for number in itertools.islice(_numbers, BULK_MAX):
            with contextlib.suppress(QuorateError, OSError):
                client.create_poll(f"bulk-{number}", OPTIONS)
                client.delete_poll(f"bulk-{number}", client.poll(f"bulk-{number}")["creation"])
            index = _raft(late).get("last_index")
            if index is not None and _raft(leading).get("first_index", 0) > index + 1:
                return
            if time.monotonic() > end_s:
                break
    raise NotNow("the log was not pushed on far enough in time")


def _raft(node: NodeProcess) -> Mapping[str, Any]:
    raft: Mapping[str, Any] = (node.get("/status") or {}).get("raft", {})
    return raft


def _received(node: NodeProcess) -> int:
    return int(_raft(node).get("snapshots_received", 0))
