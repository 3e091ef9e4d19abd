"""Sources that take votes from the servers of a test, for a local cluster to count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from quorate.ingest.nsq.settings import NsqSettings
from quorate.ingest.nsq.source import NsqSource
from quorate.ingest.source import Caster
from tests.services.nsq.servers import Server


def vote(option: str, id: str | None = None, **more: object) -> bytes:
    return json.dumps({"option": option} | ({"id": id} if id else {}) | more).encode()


@asynccontextmanager
async def source(caster: Caster, *servers: Server, node_id: str = "n1", **settings: Any) -> AsyncIterator[NsqSource]:
    """A started source with these nsqds or nsqlookupds. Its intervals and timeouts are short."""
    quick = {"lookupd_poll_s": 0.2, "hold_s": 0.5, "cast_timeout_s": 0.3, "unknown_wait_s": 0}
    addresses = {
        "nsqd": [s.tcp for s in servers if s.program == "nsqd"],
        "lookupd": [s.http for s in servers if s.program == "nsqlookupd"],
    }
    made = NsqSource(caster, NsqSettings(**(quick | addresses | settings)), node_id=node_id)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def crash(source: NsqSource) -> None:
    """End the source as a killed process ends: its connections break, and nothing is finished or given back."""
    consumer, subscription = source._consumer, source._subscription
    consumer._stopping.set()
    for connection in list(subscription.conns.values()):
        connection.close()
    for task in [*consumer._groups, *consumer._rests.values(), *subscription._tasks.values()]:
        task.cancel()
    await asyncio.sleep(0)
