"""Sends requests of votes, and writes each attempt into the history."""

from __future__ import annotations

import asyncio
import random
from typing import Literal, cast

from quorate.chaos.history import Cast
from quorate.chaos.workload.exchange import ANSWER_S, KeptConnection, LostAnswer, NeverSent
from quorate.chaos.workload.judged import Judged, of_redis_votes, of_votes
from quorate.chaos.workload.ledger import VoteRequest
from quorate.chaos.workload.redis_exchange import RedisConnection
from quorate.chaos.workload.scene import Scene

PAUSE_S, PAUSE_MAX_S = 0.02, 0.5


class VotingClient:
    """One client: it has connections to one node at a time. A `cluster_client` goes where it is sent, and stays."""

    def __init__(
        self, name: str, scene: Scene, home: int, chance: random.Random, *, cluster_client: bool = False
    ) -> None:
        self.name, self.scene, self.chance = name, scene, chance
        self._nodes, self._home = scene.nodes, home % len(scene.nodes)
        self._is_cluster_client = cluster_client
        self.connection, self._redis = self._connections(self._home)

    def _connections(self, place: int) -> tuple[KeptConnection, RedisConnection]:
        """Each of the two is opened when it is used first."""
        node = self._nodes[place]
        return KeptConnection(node), RedisConnection(node, cluster_client=self._is_cluster_client)

    @property
    def node(self) -> str:
        return self.connection.node.id

    async def attempt(self, request: VoteRequest, *, settles: bool = False, timeout_s: float = ANSWER_S) -> Judged:
        """Send it once. What became of it is in the request, too, and in the ledger if an answer told it."""
        connection = self._redis if request.door == "resp" else self.connection
        return await attempt(connection, request, self.scene, self.name, settles=settles, timeout_s=timeout_s)

    async def until_told(self, request: VoteRequest, *, patience_s: float, settles: bool = False) -> bool:
        """Send it until an answer tells what became of it, at this node and at others. False: given up for now."""
        try:
            return await self._until_told(request, self.scene.recorder.now() + patience_s, settles=settles)
        finally:  # also if this client is stopped between two attempts
            if request.is_open:
                self.scene.ledger.give_up(request)

    async def _until_told(self, request: VoteRequest, end: float, *, settles: bool) -> bool:
        pause_s = PAUSE_S
        while (judged := await self.attempt(request, settles=settles)).outcome != "ok":
            if self.scene.recorder.now() >= end:
                return False
            await asyncio.sleep(pause_s * self.chance.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
            self._follow(judged.moved_to)
        return True

    def _follow(self, address: str) -> None:
        """Go to the node that has this address; to any one if none has."""
        known = (place for place, node in enumerate(self._nodes) if address and str(node.redis) == address)
        place = next(known, None)
        self.move() if place is None else self._go(place)

    def move(self) -> None:
        """Go to any node."""
        self._go(self.chance.randrange(len(self._nodes)))

    def go_home(self) -> None:
        if not self._is_cluster_client:
            self._go(self._home)

    def _go(self, place: int) -> None:
        if self.connection.node is not self._nodes[place]:
            self.close()
            self.connection, self._redis = self._connections(place)

    def close(self) -> None:
        self.connection.close()
        self._redis.close()


async def attempt(
    connection: KeptConnection | RedisConnection,
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
            door=request.door,
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
    operation.counted = judged.counted
    recorder.end(operation)
    was_open = request.is_open
    request.learn(judged)
    if judged.outcome == "ok" and (was_open or request.name in ledger.doubtful):
        ledger.done(request)
        if request.is_acknowledged:
            recorder.acknowledged(operation)
    return judged


async def _ask(
    connection: KeptConnection | RedisConnection, request: VoteRequest, operation: Cast, timeout_s: float
) -> Judged:
    try:
        if isinstance(connection, RedisConnection):
            judged = of_redis_votes(await connection.ask(request.body, request.replies, timeout_s=timeout_s))
            operation.version = judged.version
            return judged
        answer = await connection.ask("POST", "/votes", request.body, request.headers, timeout_s=timeout_s)
    except NeverSent as error:
        return Judged("fail", error=f"not sent: {error}")
    except LostAnswer as error:
        return Judged("unknown", error=str(error))
    operation.version, operation.served_by = answer.version, answer.served_by
    return of_votes(answer, len(request.votes))
