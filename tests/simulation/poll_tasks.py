"""Somebody who deletes a poll and creates another one under its name, again and again, while votes for it come.

Each vote writes in an option of its own. So the results of each creation say which votes were counted in it: each vote
at most once in all of them, an acknowledged one exactly once, and none in a creation that was begun after the vote was
sent for the last time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from quorate.cluster.entry import CreatePoll, PollResult
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import QuorateError
from quorate.vote import Vote
from tests.simulation.cluster import SimCluster
from tests.simulation.deaths import as_client_of

NAME = "brief"
TIMEOUT_S = 1.0

T = TypeVar("T")


@dataclass
class Creation:
    """`begun_s`: before that nobody can have meant it."""

    number: int
    begun_s: float
    results: dict[str, int] = field(default_factory=dict)


@dataclass
class SentVote:
    has_id: bool
    sent_s: float = 0.0  # for the last time
    outcome: str = "unknown"


class Recreations:
    def __init__(self, cluster: SimCluster) -> None:
        self._cluster = cluster
        self._rng = random.Random(f"polls {cluster.seed}")
        self.creations: list[Creation] = []
        self._votes: dict[str, SentVote] = {}
        self._voters: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Until this time. At the end a poll is there."""
        cluster, begun_s = self._cluster, self._cluster.loop.time()
        while not any(r is not None and r.state.level for r in (cluster.nodes[n].replica for n in cluster.names)):
            if cluster.loop.time() > seconds:
                return
            await asyncio.sleep(0.1)
        while True:
            creation = await self._create(begun_s)
            if len(self.creations) > 1 and self._rng.random() < 0.5:
                await self._delete_again(self.creations[-2])
            await self._votes_come(until_s=cluster.loop.time() + self._rng.uniform(0.5, 2.0))
            if cluster.loop.time() > seconds:
                break
            begun_s = await self._delete(creation)
        await asyncio.gather(*self._voters)

    # ---- the operator -----------------------------------------------------------------------------------------------

    async def _insist(self, ask: Callable[[Submitter], Awaitable[T]]) -> T:
        """Ask some node, and another one, until an answer comes. The same is asked again after an unknown outcome."""
        while True:
            name = self._rng.choice(self._cluster.up() or self._cluster.names)
            submitter = self._cluster.nodes[name].submitter
            if submitter is not None:
                with contextlib.suppress(QuorateError), as_client_of(name):
                    return await ask(submitter)
            await asyncio.sleep(0.1)

    async def _create(self, begun_s: float) -> Creation:
        poll = CreatePoll(NAME, "", [], "open", None, True)
        result, _ = await self._insist(lambda submitter: submitter.create_poll(poll, timeout_s=TIMEOUT_S))
        self._expect(result, "created", "same")
        creation = Creation((await self._read())[0], begun_s)
        if self.creations and creation.number <= self.creations[-1].number:
            self._cluster.broken.append(f"creation {creation.number} follows {self.creations[-1].number}")
        self.creations.append(creation)
        return creation

    async def _delete(self, creation: Creation) -> float:
        """Returns when it was asked for first: from then on a new poll may have the name."""
        for state in ("closed", "archived"):
            result = await self._state(state)
            self._expect(result, "changed", "same")
        number, creation.results = await self._read()
        if number != creation.number:
            self._cluster.broken.append(f"creation {creation.number} was there, and then {number}")
        asked_s = self._cluster.loop.time()
        result, _ = await self._insist(
            lambda submitter: submitter.delete_poll(NAME, creation.number, timeout_s=TIMEOUT_S)
        )
        self._expect(result, "removed", "deleted")
        await self._votes_come(until_s=self._cluster.loop.time() + self._rng.choice((0.0, 0.2)))
        return asked_s

    async def _state(self, state: str) -> PollResult:
        """Where the asked node does not know the poll yet, the change may be meant for the one before: again."""
        while True:
            result, _ = await self._insist(
                lambda submitter: submitter.set_poll_state(NAME, state, timeout_s=TIMEOUT_S)  # type: ignore[arg-type]
            )
            if result.what != "deleted":
                return result
            await asyncio.sleep(0.1)

    async def _delete_again(self, creation: Creation) -> None:
        """A deletion that was done already, with its number and without one: it must not meet the new poll."""
        for number in (creation.number, None):
            result, _ = await self._insist(
                lambda submitter, number=number: submitter.delete_poll(NAME, number, timeout_s=TIMEOUT_S)  # type: ignore[misc]
            )
            self._expect(result, "deleted")
        counted = [id for id in creation.results if self._votes[id].has_id]
        for id in counted[-2:]:  # sent again: nobody may be told that it counts here
            tallied = await self._insist(lambda s, id=id: s.cast([Vote(id, id, NAME)], timeout_s=TIMEOUT_S))  # type: ignore[misc]
            if not tallied.rejected:
                self._cluster.broken.append(f"{id} counted in {creation.number}, and is acknowledged for the next one")

    async def _read(self) -> tuple[int, dict[str, int]]:
        """The number of the poll, and its results."""

        async def read(submitter: Submitter) -> tuple[int, dict[str, int]]:
            nodes = self._cluster.nodes.values()
            reads = next(node.reads for node in nodes if node.submitter is submitter)
            assert reads is not None
            async with asyncio.timeout(5):
                poll = await reads.poll(NAME, level="linearizable", wait_s=2.0)
                found = await reads.results(NAME, level="linearizable", min_version=poll.version, wait_s=2.0)
            return poll.value.creation, dict(found.results)

        while True:
            try:
                return await self._insist(read)
            except TimeoutError:  # the node was killed, or cut off
                continue

    def _expect(self, result: PollResult, *expected: str) -> None:
        if result.what not in expected:
            self._cluster.broken.append(f"{self._cluster.loop.time():.3f} {NAME}: {result} where {expected} is right")

    # ---- the voters -------------------------------------------------------------------------------------------------

    async def _votes_come(self, until_s: float) -> None:
        while self._cluster.loop.time() < until_s:
            for name in self._cluster.up():
                if self._rng.random() < 0.25:
                    task = self._cluster.loop.create_task(self._vote(name, f"b{len(self._votes)}"))
                    self._voters.add(task)
                    task.add_done_callback(self._voters.discard)
                    await asyncio.sleep(0)
            await asyncio.sleep(self._rng.uniform(0.02, 0.2))

    async def _vote(self, name: str, id: str) -> None:
        """Cast one vote. While its outcome is unknown, cast it again at another node, under the same id."""
        vote = self._votes[id] = SentVote(self._rng.random() < 0.8)
        for _ in range(3 if vote.has_id else 1):
            submitter = self._cluster.nodes[name].submitter
            if submitter is None:
                return
            vote.sent_s = self._cluster.loop.time()
            try:
                with as_client_of(name):
                    tallied = await submitter.cast([Vote(id, id if vote.has_id else None, NAME)], timeout_s=TIMEOUT_S)
            except QuorateError as error:
                if error.definite and vote.outcome != "maybe":
                    vote.outcome = "refused"
                    return
                vote.outcome = "maybe"
                name = self._rng.choice(self._cluster.up() or [name])
                continue
            if not tallied.rejected:
                vote.outcome = "counted"
            elif vote.outcome != "maybe":
                vote.outcome = "refused"
            return

    # ---- the verdict ------------------------------------------------------------------------------------------------

    def judge(self, last: dict[str, int]) -> list[str]:
        """`last` are the results of the poll that has the name at the end."""
        if not self.creations:
            return []
        self.creations[-1].results = last
        broken = []
        total: Counter[str] = Counter()
        for creation in self.creations:
            total.update(creation.results)
            broken += [
                f"{id} was sent last at {self._votes[id].sent_s:.3f}, and is in {creation.number}, begun at "
                f"{creation.begun_s:.3f}"
                for id in creation.results
                if self._votes[id].sent_s < creation.begun_s
            ]
        for id, vote in self._votes.items():
            allowed = {"counted": (1,), "refused": (0,)}.get(vote.outcome, (0, 1))
            if total[id] not in allowed:
                broken.append(f"{id} is {vote.outcome}, and stands {total[id]} times in all polls")
        return broken
