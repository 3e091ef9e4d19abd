"""What the simulated network may do to a message, and what it must not do to a call."""

from __future__ import annotations

import asyncio

from tests.simulation.cluster import SimCluster, virtual_time


async def _served_calls(repeated: float) -> tuple[int, int]:
    """How often ten calls from one node to another were served, and how many messages the target got meanwhile."""
    cluster = SimCluster(1, "ab")
    for name in cluster.names:
        await cluster.start(name)
    await cluster.until(cluster.leader, 20, "a leader")
    cluster.network.repeated = repeated
    served = []

    async def serve(peer: str, request: bytes) -> bytes:
        served.append(request)
        return request

    ends = cluster.network.ends
    ends["b"].serve("count", serve)
    for n in range(10):
        assert b"%d" % n == await ends["a"].call("b", "count", b"%d" % n)
    await asyncio.sleep(5)  # virtual: a repeated call would have come
    for node in cluster.nodes.values():
        assert node.replica is not None
        await node.replica.stop()
    return len(served), len(set(served))


def test_a_call_is_served_once_though_messages_are_repeated() -> None:
    with virtual_time() as runner:
        assert (10, 10) == runner.run(_served_calls(repeated=1.0))
