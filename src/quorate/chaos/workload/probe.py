"""The probe: one vote every 100 ms, whatever became of the earlier ones.

A closed loop that waits for an answer sends nothing meanwhile, so what it waited for shows once, however long it took.
The probe goes on, and so it shows each moment in which no vote could be counted.
"""

from __future__ import annotations

import asyncio
import random

from quorate.chaos.workload.casting import attempt
from quorate.chaos.workload.exchange import AskedNode, KeptConnection
from quorate.chaos.workload.ledger import request_of
from quorate.chaos.workload.scene import Scene

EVERY_S = 0.1
IN_FLIGHT_MAX = 100
NAME = "probe"


class Probe:
    """The nodes in turn. Above IN_FLIGHT_MAX unanswered votes it passes over its turn."""

    def __init__(self, scene: Scene, chance: random.Random) -> None:
        self._scene, self._chance = scene, chance
        self._idle: dict[str, list[KeptConnection]] = {node.id: [] for node in scene.nodes}
        self._sending: set[asyncio.Task[None]] = set()
        self._sent = 0

    async def run(self) -> None:
        loop, nodes = asyncio.get_running_loop(), self._scene.nodes
        due_s = loop.time()
        try:
            while True:
                if len(self._sending) < IN_FLIGHT_MAX:
                    task = asyncio.create_task(self._send(nodes[self._sent % len(nodes)]))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
                due_s = max(due_s + EVERY_S, loop.time() - EVERY_S)
                await asyncio.sleep(due_s - loop.time())
        finally:
            await self._end()

    async def _send(self, node: AskedNode) -> None:
        scene = self._scene
        self._sent += 1
        name = f"{scene.polls.prefix}.{NAME}.{self._sent}"
        request = request_of(name, [scene.polls.probe.choose(self._chance, name)])
        idle = self._idle[node.id]
        connection = idle.pop() if idle else KeptConnection(node)
        judged = await attempt(connection, request, scene, NAME)
        idle.append(connection)
        if judged.outcome == "ok":
            scene.recorder.probe_acknowledged()
        else:
            scene.ledger.give_up(request)

    async def _end(self) -> None:
        sending = list(self._sending)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        for connection in (each for idle in self._idle.values() for each in idle):
            connection.close()
