"""How long nobody can write after the leader is gone: from the signal to the next accepted vote.

A killed process closes its connections, so the others know at once. A paused one (or a machine without power) is just
silent, and is missed by its heartbeats alone: the case for which election timeouts are made.

Votes are sent to both survivors all the time, each on a connection of its own: one that waits for a leader that will
never answer does not keep the next from being tried.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import time

from bench.workloads import one_vote
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import NodeProcess

EVERY_S = 0.01
GIVE_UP_S = 30.0

_numbers = itertools.count(1)


def gaps_s(cluster: FreshCluster, times: int, *, silent: bool = False) -> list[float]:
    """Seconds without a write, one number a fault. The cluster is whole before each: one fault at a time."""
    gaps = []
    for _ in range(times):
        cluster.wait_whole()
        victim = cluster.leader()
        survivors = [node for node in cluster.nodes if node is not victim]
        started_s = time.monotonic()
        victim.signal(signal.SIGSTOP if silent else signal.SIGKILL)
        gaps.append(asyncio.run(first_accepted_s(survivors)) - started_s)
        if silent:
            victim.resume()
        else:
            victim.ended()
            victim.start()
        cluster.wait_ready()
    return gaps


async def first_accepted_s(survivors: list[NodeProcess]) -> float:
    """When the first vote was accepted."""
    accepted = asyncio.Event()
    tries: set[asyncio.Task[None]] = set()
    async with asyncio.timeout(GIVE_UP_S):
        while not accepted.is_set():
            tries |= {asyncio.create_task(knock(node, accepted)) for node in survivors}
            await asyncio.wait([asyncio.create_task(accepted.wait())], timeout=EVERY_S)
    end_s = time.monotonic()
    for task in tries:
        task.cancel()
    await asyncio.wait(tries)
    return end_s


async def knock(node: NodeProcess, accepted: asyncio.Event) -> None:
    """Send one vote with an id of its own."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        try:
            writer.write(one_vote("node")(next(_numbers)))
            if (await reader.readline()).startswith(b"HTTP/1.1 200"):
                accepted.set()
        finally:
            writer.close()
    except OSError:
        return
