"""Votes that go through NSQ, and what became of them.

Whoever publishes a vote is told that nsqd has it, never that it counted. So each such request is unknown. When nsqd is
finished with all that was published, the same requests are sent to a node: by then each must have counted.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import requests

from quorate.chaos.history import Cast
from quorate.chaos.workload.casting import VotingClient
from quorate.chaos.workload.exchange import AskedNode, KeptConnection, LostAnswer, NeverSent
from quorate.chaos.workload.ledger import VoteRequest, request_of
from quorate.web.session import WebSession

MESSAGES = 40  # in one round
PAUSE_S = 0.03
DRAINED_S = 40.0  # then they are sent to a node all the same, which says nothing of the queue
LOOK_EVERY_S = 0.3
STATS_S = 2.0
PATIENCE_S = 8.0
WAITING = ("depth", "in_flight_count", "deferred_count")


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where nsqd answers over HTTP."""

    host: str
    port: int
    topic: str
    channel: str

    def is_drained(self) -> bool:
        """Whether the channel is there, and no message waits or is on its way. It blocks for some seconds at most."""
        path = f"/stats?format=json&include_clients=false&topic={self.topic}&channel={self.channel}"
        with WebSession(env={}) as session:
            try:
                topics = session.get(f"http://{self.host}:{self.port}{path}", timeout=STATS_S).json()["topics"] or []
                channels = [channel for topic in topics for channel in topic["channels"]]
                waits = sum(topic["depth"] for topic in topics)
                waits += sum(channel[each] for channel in channels for each in WAITING)
            except (requests.RequestException, KeyError, TypeError):
                return False
        return bool(channels) and waits == 0


class QueueVoter:
    def __init__(self, caster: VotingClient, place: QueuePlace) -> None:
        self._caster, self._place = caster, place
        self._connection = KeptConnection(AskedNode("nsqd", place.host, place.port))
        self._made = 0

    async def run(self) -> None:
        try:
            while True:
                await self._round()
        finally:
            self._connection.close()
            self._caster.close()

    async def _round(self) -> None:
        published: list[VoteRequest] = []  # and not done with
        try:
            await self._publish_some(published)
            follows_queue = await self._until_drained()
            while published:
                published[-1].follows_queue = follows_queue
                await self._caster.until_told(published[-1], patience_s=PATIENCE_S)
                published.pop()
                self._caster.move()
        finally:
            for request in published:
                self._caster.scene.ledger.give_up(request)

    async def _publish_some(self, published: list[VoteRequest]) -> None:
        for _ in range(MESSAGES):
            request = self._make()
            published.append(request)  # also if this client is stopped before it has an answer
            if not await self._publish(request):
                published.pop()
            await asyncio.sleep(self._caster.chance.uniform(0.5, 1.5) * PAUSE_S)

    def _make(self) -> VoteRequest:
        caster = self._caster
        polls, chance = caster.scene.polls, caster.chance
        self._made += 1
        name = f"{polls.prefix}.{caster.name}.{self._made}"
        count = chance.choice((1, 1, 1, 4))
        return request_of(name, [polls.queue.choose(chance, f"{name}.{n}") for n in range(count)])

    async def _publish(self, request: VoteRequest) -> bool:
        """False: nsqd surely does not have it."""
        recorder, place = self._caster.scene.recorder, self._place
        request.unknown_attempts += 1
        operation = recorder.begin(
            Cast(
                number=recorder.number(),
                client=self._caster.name,
                node=self._connection.node.id,
                begun=recorder.now(),
                request=request.name,
                votes=request.votes,
                door="nsq",
            )
        )
        try:
            answer = await self._connection.ask("POST", f"/pub?topic={place.topic}", request.body)
        except NeverSent as error:
            operation.outcome, operation.error = "fail", f"not sent: {error}"
        except LostAnswer as error:
            operation.error = str(error)
        else:
            if answer.status != 200:
                operation.error = f"status {answer.status}"
        recorder.end(operation)
        return operation.outcome == "unknown"

    async def _until_drained(self) -> bool:
        """Whether nsqd is finished with every message."""
        end = self._caster.scene.recorder.now() + DRAINED_S
        while self._caster.scene.recorder.now() < end:
            if await asyncio.to_thread(self._place.is_drained):
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False
