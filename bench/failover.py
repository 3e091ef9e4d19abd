"""Measures the time without writes after the leader is lost: from the signal to the next accepted vote.

The connections of a killed process close, so the other nodes know at once. The connections of a paused process, or of a
machine without power, stay open. The other nodes only miss its heartbeats, and wait for the election timeout.

Votes are sent to both other nodes all the time, each vote on a new connection. So a vote that waits for the lost leader
does not delay the next vote.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections import Counter
from collections.abc import Sequence

from bench.workloads import one_vote
from quorate.processes.cluster import FreshCluster

EVERY_S = 0.01
GIVE_UP_S = 30.0

_numbers = itertools.count(1)


def gaps_s(cluster: FreshCluster, times: int, *, silent: bool = False) -> list[float]:
    """Seconds without a write, one number for each fault. The cluster is whole before each fault."""
    gaps = []
    for _ in range(times):
        cluster.wait_whole()
        victim = cluster.leader()
        survivors = [node for node in cluster.nodes if node is not victim]
        started_s = time.monotonic()
        victim.signal(signal.SIGSTOP if silent else signal.SIGKILL)
        gaps.append(asyncio.run(first_accepted_s([node.port for node in survivors])) - started_s)
        if silent:
            victim.resume()
        else:
            victim.ended()
            victim.start()
        cluster.wait_ready()
    return gaps


async def first_accepted_s(ports: Sequence[int]) -> float:
    """When the first vote was accepted, by the node at one of these ports."""
    accepted, answers = asyncio.Event(), Counter[str]()
    tries: set[asyncio.Task[None]] = set()
    try:
        async with asyncio.timeout(GIVE_UP_S):
            while not accepted.is_set():
                tries |= {asyncio.create_task(knock(port, accepted, answers)) for port in ports}
                await asyncio.wait([asyncio.create_task(accepted.wait())], timeout=EVERY_S)
    except TimeoutError:
        raise RuntimeError(f"no vote was accepted within {GIVE_UP_S:g} s; answers: {dict(answers)}") from None
    end_s = time.monotonic()
    for task in tries:
        task.cancel()
    await asyncio.wait(tries)
    return end_s


async def knock(port: int, accepted: asyncio.Event, answers: Counter[str]) -> None:
    """Send one vote with an id of its own."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(one_vote("127.0.0.1")(next(_numbers)))
            answer = (await reader.readline()).decode().strip()
            answers[answer] += 1
            if answer.startswith("HTTP/1.1 200"):
                accepted.set()
        finally:
            writer.close()
    except OSError:
        return
