"""What Redis clients read: a poll by HGETALL, which names no version, and tallies by SUBSCRIBE, which have one."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from quorate.chaos.history import Read
from quorate.chaos.workload.exchange import AskedNode, LostAnswer, NeverSent
from quorate.chaos.workload.reading import AskedLevel
from quorate.chaos.workload.redis_exchange import RedisConnection
from quorate.chaos.workload.redis_replies import ReplyError, command
from quorate.chaos.workload.scene import Scene

AGAIN_S = 0.2
QUIET_S = 5.0  # a node that tells of no change for so long is asked anew
NOTED_EVERY_S = 0.05  # messages of one poll that come sooner are passed over
KEYS: Mapping[AskedLevel, str] = {"weak": "poll:", "linearizable": "linearizable:poll:"}


class RedisReader:
    def __init__(self, name: str, node: AskedNode, scene: Scene, chance: random.Random, pause_s: float) -> None:
        self._name, self._scene, self._chance, self._pause_s = name, scene, chance, pause_s
        self._connection = RedisConnection(node)

    async def run(self) -> None:
        chance = self._chance
        try:
            while True:
                done = await self._read(chance.choice(self._scene.polls.lasting).id, chance.choice(tuple(KEYS)))
                pause_s = self._pause_s if done.outcome == "ok" else max(self._pause_s, AGAIN_S)
                await asyncio.sleep(chance.uniform(0.5, 1.5) * pause_s)
        finally:
            self._connection.close()

    async def _read(self, poll: str, level: AskedLevel) -> Read:
        recorder = self._scene.recorder
        operation = recorder.begin(
            Read(
                number=recorder.number(),
                client=self._name,
                node=self._connection.node.id,
                begun=recorder.now(),
                poll=poll,
                level=level,
                door="resp",
            )
        )
        operation.outcome = "fail"
        try:
            (told,) = await self._connection.ask(command("HGETALL", KEYS[level] + poll), 1)
        except (NeverSent, LostAnswer) as error:
            operation.error = str(error)
        else:
            if isinstance(told, ReplyError):
                operation.error = told.code
            else:
                operation.outcome = "ok"
                operation.results = dict(zip(told[::2], map(int, told[1::2]), strict=True))
                operation.total = sum(operation.results.values())
        recorder.end(operation)
        return operation


class TallyFollower:
    """Each message is a read of the node's own state."""

    def __init__(self, name: str, node: AskedNode, scene: Scene) -> None:
        self._name, self._scene = name, scene
        self._connection = RedisConnection(node)
        self._noted: dict[str, float] = {}  # poll -> when its last message came

    async def run(self) -> None:
        try:
            while True:
                with contextlib.suppress(NeverSent, LostAnswer):
                    await self._follow()
                self._connection.close()
                await asyncio.sleep(AGAIN_S)
        finally:
            self._connection.close()

    async def _follow(self) -> None:
        """Until the connection ends, or a poll is not known to this node yet."""
        polls, ask, recorder = self._scene.polls.lasting, self._connection.ask, self._scene.recorder
        begun = recorder.now()
        (told,) = await ask(command("SUBSCRIBE", *(f"poll:{poll.id}" for poll in polls)), 1)
        if isinstance(told, ReplyError):
            return
        await ask(b"", len(polls) - 1)
        while True:
            ((_, _, document),) = await ask(b"", 1, timeout_s=QUIET_S)
            self._note(begun, msgspec.json.decode(document))
            begun = recorder.now()

    def _note(self, begun: float, told: dict[str, Any]) -> None:
        recorder = self._scene.recorder
        poll, now = str(told["id"]), recorder.now()
        if "results" not in told or now - self._noted.get(poll, 0.0) < NOTED_EVERY_S:
            return
        self._noted[poll] = now
        read = recorder.begin(
            Read(
                number=recorder.number(),
                client=self._name,
                node=self._connection.node.id,
                begun=begun,
                poll=poll,
                level="none",
                door="resp",
            )
        )
        read.outcome, read.version, read.state = "ok", told["version"], told["state"]
        read.results, read.total = told["results"], told["total"]
        recorder.end(read)
