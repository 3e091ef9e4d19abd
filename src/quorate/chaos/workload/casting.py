"""Sends requests of votes, and writes each attempt into the history."""

from __future__ import annotations

import asyncio
import random
from typing import Literal, cast

from quorate.chaos.history import Cast
from quorate.chaos.workload.exchange import ANSWER_S, KeptConnection, LostAnswer, NeverSent
from quorate.chaos.workload.judged import Judged, of_votes
from quorate.chaos.workload.ledger import VoteRequest
from quorate.chaos.workload.scene import Scene

PAUSE_S, PAUSE_MAX_S = 0.02, 0.5


class VotingClient:
    """One client: it has a connection to one node at a time."""

    def __init__(self, name: str, scene: Scene, home: int, chance: random.Random) -> None:
        self.name, self.scene, self.chance = name, scene, chance
        self._nodes, self._home = scene.nodes, home % len(scene.nodes)
        self.connection = KeptConnection(self._nodes[self._home])

    @property
    def node(self) -> str:
        return self.connection.node.id

    async def attempt(self, request: VoteRequest, *, settles: bool = False, timeout_s: float = ANSWER_S) -> Judged:
        """Send it once. What became of it is in the request, too, and in the ledger if an answer told it."""
        return await attempt(self.connection, request, self.scene, self.name, settles=settles, timeout_s=timeout_s)

    async def until_told(self, request: VoteRequest, *, patience_s: float, settles: bool = False) -> bool:
        """Send it until an answer tells what became of it, at this node and at others. False: given up for now."""
        try:
            return await self._until_told(request, self.scene.recorder.now() + patience_s, settles=settles)
        finally:  # also if this client is stopped between two attempts
            if request.is_open:
                self.scene.ledger.give_up(request)

    async def _until_told(self, request: VoteRequest, end: float, *, settles: bool) -> bool:
        pause_s = PAUSE_S
        while (await self.attempt(request, settles=settles)).outcome != "ok":
            if self.scene.recorder.now() >= end:
                return False
            await asyncio.sleep(pause_s * self.chance.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
            self.move()
        return True

    def move(self) -> None:
        """Go to any node."""
        self._go(self.chance.randrange(len(self._nodes)))

    def go_home(self) -> None:
        self._go(self._home)

    def _go(self, place: int) -> None:
        if self.connection.node is not self._nodes[place]:
            self.connection.close()
            self.connection = KeptConnection(self._nodes[place])

    def close(self) -> None:
        self.connection.close()


async def attempt(
    connection: KeptConnection,
    request: VoteRequest,
    scene: Scene,
    client: str,
    *,
    settles: bool = False,
    timeout_s: float = ANSWER_S,
) -> Judged:
    recorder, ledger = scene.recorder, scene.ledger
    operation = recorder.begin(
        Cast(
            number=recorder.number(),
            client=client,
            node=connection.node.id,
            begun=recorder.now(),
            request=request.name,
            votes=request.votes,
            way=cast(Literal["ids", "key", "session"], request.way),
            producer=request.producer,
            epoch=request.epoch,
            sequence=request.sequence,
            settles=settles,
            follows_queue=request.follows_queue,
        )
    )
    try:
        judged = await _ask(connection, request, operation, timeout_s)
    except BaseException:  # the client is stopped: it never learns the answer, and the operation stays open
        request.unknown_attempts += 1
        if request.is_open:
            ledger.give_up(request)
        raise
    operation.outcome, operation.error = judged.outcome, judged.error
    operation.applied, operation.duplicates, operation.rejected = judged.applied, judged.duplicates, judged.rejected
    recorder.end(operation)
    was_open = request.is_open
    request.learn(judged)
    if judged.outcome == "ok" and (was_open or request.name in ledger.doubtful):
        ledger.done(request)
        if request.is_acknowledged:
            recorder.acknowledged(operation)
    return judged


async def _ask(connection: KeptConnection, request: VoteRequest, operation: Cast, timeout_s: float) -> Judged:
    try:
        answer = await connection.ask("POST", "/votes", request.body, request.headers, timeout_s=timeout_s)
    except NeverSent as error:
        return Judged("fail", error=f"not sent: {error}")
    except LostAnswer as error:
        return Judged("unknown", error=str(error))
    operation.version, operation.served_by = answer.version, answer.served_by
    return of_votes(answer, len(request.votes))
