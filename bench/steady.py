"""Full load for some minutes, in which a healthy leader must stay the leader: counts the elections."""

from __future__ import annotations

import msgspec

from bench.systems import Row, measure
from quorate.processes.cluster import FreshCluster

CLIENTS = 256


class Steady(msgspec.Struct):
    minutes: float
    row: Row
    before: dict[str, object]  # /leader
    after: dict[str, object]
    elections: int  # new terms in that time, so an election without a winner counts too


def full_load(cluster: FreshCluster, minutes: float, *, warm_up_s: float) -> Steady:
    before = cluster.leader().get("/leader")
    row = measure("quorate", cluster, "vote", CLIENTS, warm_up_s=warm_up_s, seconds=minutes * 60)
    after = cluster.leader().get("/leader")
    return Steady(minutes, row, before, after, after["term"] - before["term"])
