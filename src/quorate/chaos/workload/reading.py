"""Readers: the results of the run's polls, on every level and at every node, some of them at least at a version."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

from quorate.chaos.history import Read
from quorate.chaos.workload.exchange import AskedNode, KeptConnection, LostAnswer, NeverSent
from quorate.chaos.workload.judged import of_read
from quorate.chaos.workload.recorder import Recorder
from quorate.chaos.workload.scene import Scene

AskedLevel = Literal["none", "weak", "linearizable"]
LEVELS: Sequence[AskedLevel] = ("none", "weak", "linearizable")
AT_LEAST_SHARE = 0.2  # of the reads ask for a version that somebody was told
CLOSING_SHARE = 0.3


class ReadingClient:
    def __init__(self, name: str, node: AskedNode, scene: Scene, chance: random.Random, pause_s: float) -> None:
        self._name, self._chance, self._pause_s = name, chance, pause_s
        self._polls, self._recorder = scene.polls, scene.recorder
        self._connection = KeptConnection(node)

    async def run(self) -> None:
        chance = self._chance
        try:
            while True:
                at_least = self._recorder.newest_version if chance.random() < AT_LEAST_SHARE else None
                done = await read(
                    self._connection, self._recorder, self._name, self._poll(), chance.choice(LEVELS), at_least
                )
                pause_s = self._pause_s if done.outcome == "ok" else max(self._pause_s, 0.1)
                await asyncio.sleep(chance.uniform(0.5, 1.5) * pause_s)
        finally:
            self._connection.close()

    def _poll(self) -> str:
        closing = self._polls.closing
        polls = closing if closing and self._chance.random() < CLOSING_SHARE else self._polls.lasting
        return self._chance.choice(polls).id


async def read(
    connection: KeptConnection,
    recorder: Recorder,
    client: str,
    poll: str,
    level: AskedLevel,
    min_version: int | None = None,
    *,
    settles: bool = False,
    wait: str = "1s",
) -> Read:
    """The operation, which is written already."""
    operation = recorder.begin(
        Read(
            number=recorder.number(),
            client=client,
            node=connection.node.id,
            begun=recorder.now(),
            poll=poll,
            level=level,
            min_version=min_version,
            settles=settles,
        )
    )
    await _ask(connection, operation, wait)
    recorder.end(operation)
    return operation


async def _ask(connection: KeptConnection, operation: Read, wait: str) -> None:
    at_least = "" if operation.min_version is None else f"&min_version={operation.min_version}&wait={wait}"
    path = f"/polls/{quote(operation.poll)}/results?level={operation.level}{at_least}"
    operation.outcome = "fail"
    try:
        answer = await connection.ask("GET", path)
    except (NeverSent, LostAnswer) as error:
        operation.error = str(error)
        return
    judged = of_read(answer)
    operation.outcome, operation.error, operation.served_by = judged.outcome, judged.error, answer.served_by
    if judged.outcome == "ok":
        told = answer.json()
        operation.version, operation.state = told["version"], told["state"]
        operation.results, operation.total = told["results"], told["total"]
