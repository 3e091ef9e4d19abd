"""Closed loops: each sends one request, sends it again until it is told what became of it, and only then the next."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from quorate.chaos.workload.casting import VotingClient
from quorate.chaos.workload.ledger import VoteRequest, redis_request_of, request_of
from quorate.chaos.workload.plan import RunPolls

PATIENCE_S = 8.0
AGAIN_SHARE = 0.03  # of the requests: one that was acknowledged, once more
UNNAMED_SHARE = 0.3  # of the votes name no poll
CLOSING_SHARE = 0.2  # of the votes of Redis clients

MakeRequest = Callable[[str, RunPolls, random.Random], VoteRequest]


def single(name: str, polls: RunPolls, chance: random.Random) -> VoteRequest:
    """One vote with an id."""
    return request_of(name, [polls.single.choose(chance, name, named=chance.random() > UNNAMED_SHARE)])


def batch(name: str, polls: RunPolls, chance: random.Random) -> VoteRequest:
    """Several votes, each with an id."""
    named = chance.random() > UNNAMED_SHARE
    count = chance.randint(2, 12)
    return request_of(name, [polls.batch.choose(chance, f"{name}.{n}", named=named) for n in range(count)])


def keyed(name: str, polls: RunPolls, chance: random.Random) -> VoteRequest:
    """Several votes without ids, all or none, under an Idempotency-Key."""
    named = chance.random() > UNNAMED_SHARE
    votes = [polls.keyed.choose(chance, named=named) for _ in range(chance.randint(2, 8))]
    return request_of(name, votes, key=name)


def closing(name: str, polls: RunPolls, chance: random.Random) -> VoteRequest:
    """One vote with an id for a poll that is closed soon, or was lately."""
    poll = chance.choice(polls.closing) if polls.closing else polls.single
    return request_of(name, [poll.choose(chance, name, named=chance.random() > UNNAMED_SHARE)])


def redis_single(name: str, polls: RunPolls, chance: random.Random) -> VoteRequest:
    """One vote by XADD; now and then for a poll that is closed soon, or was lately."""
    poll = chance.choice(polls.closing) if polls.closing and chance.random() < CLOSING_SHARE else polls.redis
    return redis_request_of(name, [poll.choose(chance, name, named=chance.random() > UNNAMED_SHARE)])


def redis_batch(name: str, polls: RunPolls, chance: random.Random) -> VoteRequest:
    """Several votes in a pipeline, or in a transaction."""
    named = chance.random() > UNNAMED_SHARE
    votes = [polls.redis.choose(chance, f"{name}.{n}", named=named) for n in range(chance.randint(2, 12))]
    return redis_request_of(name, votes, transaction=chance.random() < 0.5)


class ClosedLoop:
    """`pause_s` on average after each request, so that clients leave the processor to the nodes."""

    def __init__(self, caster: VotingClient, make: MakeRequest, pause_s: float) -> None:
        self._caster, self._make, self._pause_s = caster, make, pause_s
        self._sent = 0

    async def run(self) -> None:
        caster, chance = self._caster, self._caster.chance
        polls, ledger = caster.scene.polls, caster.scene.ledger
        try:
            while True:
                self._sent += 1
                name = f"{polls.prefix}.{caster.name}.{self._sent}"
                await caster.until_told(self._make(name, polls, chance), patience_s=PATIENCE_S)
                if chance.random() < AGAIN_SHARE and (known := ledger.known(chance)) is not None:
                    await caster.attempt(known)
                caster.go_home()
                await asyncio.sleep(chance.uniform(0.5, 1.5) * self._pause_s)
        finally:
            caster.close()


class Resender:
    """Sends again what other clients gave up, so that no outcome stays unknown for longer than an id is remembered."""

    EVERY_S = 0.5

    def __init__(self, caster: VotingClient) -> None:
        self._caster = caster

    async def run(self) -> None:
        caster = self._caster
        try:
            while True:
                request = caster.scene.ledger.oldest()
                if request is None or not await caster.until_told(request, patience_s=2.0):
                    await asyncio.sleep(self.EVERY_S)
                    caster.move()
        finally:
            caster.close()
