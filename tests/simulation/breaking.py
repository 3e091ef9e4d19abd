"""Lets the faults of a schedule happen."""

from __future__ import annotations

import asyncio

from tests.simulation.cluster import SimCluster
from tests.simulation.faults import FAULTS
from tests.simulation.schedule import Schedule


async def break_things(cluster: SimCluster, schedule: Schedule) -> None:
    """Let the faults of the schedule happen. None happens while the operator has asked for calm."""
    for step in schedule.steps:
        if not step.is_operation:
            await asyncio.sleep(max(0.0, step.at_s - cluster.loop.time()))
            if not cluster.calm:
                cluster.saw(step.what)
                await FAULTS[step.what](cluster, schedule.random(step.number))
