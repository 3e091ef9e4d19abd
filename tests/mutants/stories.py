"""Clients of all kinds on a simulated cluster of three nodes, and the checkers of `quorate chaos` as its judge.

What the clients send and are told is written as `quorate chaos` writes it (docs/design/chaos.md, "History"): votes that
are sent again, also after they were acknowledged, sessions that change hands, polls that close, and reads of all levels
from any node. The window of ids is small, and so are snapshots.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from quorate.chaos.history import (
    Cast,
    HistoryFile,
    HistoryOperation,
    NodeDigest,
    OpenSession,
    PollChange,
    PollPlan,
    Read,
    SentVote,
)
from quorate.chaos.workload.recorder import Recorder
from quorate.cluster.entry import CreatePoll, SetDedupWindow
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import Conflict, Deleted, ExpiredId, Invalid, QuorateError
from quorate.vote import Tallied, Vote
from tests.simulation.cluster import EPOCH_S, SimCluster
from tests.simulation.deaths import as_client_of

WINDOW = 60
WAIT_S = 1.0
LASTING, CLOSING = "lasting", "closing"
OPTIONS = {LASTING: {"happy": 1, "sad": 1, "calm": 1}, CLOSING: {"early": 1, "late": 1}}
DECIDED = (ExpiredId, Invalid, Conflict, Deleted)  # a whole request did not count, and never will
Known = Literal["counted", "refused", "unknown"]  # of a session's batch
Level = Literal["none", "weak", "linearizable"]


class VirtualRecorder(Recorder):
    """In the time of the simulation."""

    def __init__(self, history: HistoryFile, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        super().__init__(history, lambda operation: None)

    def now(self) -> float:
        return round(self._loop.time(), 6)


class Story:
    def __init__(self, cluster: SimCluster, recorder: VirtualRecorder, chance: random.Random) -> None:
        self.cluster, self.recorder, self.chance = cluster, recorder, chance
        self.over = False
        self.counted = 0  # ids that were acknowledged
        self._open: dict[str, Callable[[bool], Awaitable[bool]]] = {}  # requests with an attempt without an answer
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, task: Awaitable[None]) -> None:
        started = asyncio.ensure_future(task)
        self._tasks.add(started)
        started.add_done_callback(self._tasks.discard)

    def submitter(self) -> tuple[str, Submitter] | None:
        up = self.cluster.up()
        name = self.chance.choice(up) if up else ""
        submitter = self.cluster.nodes[name].submitter if name else None
        return None if submitter is None else (name, submitter)

    # ---- operations -------------------------------------------------------------------------------------------------

    async def ask(self, operation: HistoryOperation, asking: Awaitable[object]) -> object | None:
        """The answer. None: the operation failed, or its outcome is unknown."""
        try:
            async with asyncio.timeout(3 * WAIT_S):
                with as_client_of(operation.node):
                    answer = await asking
        except DECIDED as error:
            operation.outcome, operation.error = "ok", error.kind
            return error
        except QuorateError as error:
            operation.outcome, operation.error = "fail" if error.definite else "unknown", error.kind
        except TimeoutError:  # its node was killed
            operation.error = "timeout"
        else:
            operation.outcome = "ok"
            return answer
        return None

    def votes(self, poll: str, number: int, *, has_ids: bool = True) -> list[SentVote]:
        options = list(OPTIONS[poll])
        return [
            SentVote(self.chance.choice(options), f"{poll}-{number}-{place}" if has_ids else None, poll)
            for place in range(self.chance.choice((1, 1, 1, 3)))
        ]

    async def cast(self, request: str, votes: list[SentVote], settles: bool) -> bool:
        """Send a request of votes with ids once. Whether it is known what became of it."""
        if (found := self.submitter()) is None:
            return False
        name, submitter = found
        operation = self.recorder.begin(
            Cast(
                number=self.recorder.number(),
                client=request,
                node=name,
                begun=self.recorder.now(),
                request=request,
                votes=votes,
                settles=settles,
            )
        )
        asked = submitter.cast([Vote(v.option, v.id, v.poll) for v in votes], timeout_s=WAIT_S)
        self._note(operation, await self.ask(operation, asked))
        if operation.outcome == "unknown":
            self._open[request] = partial(self.cast, request, votes)
        elif operation.outcome == "ok" and not operation.rejected:
            self._open.pop(request, None)
        return operation.outcome == "ok"

    def _note(self, operation: Cast, answer: object | None) -> None:
        if isinstance(answer, Tallied):
            operation.applied, operation.duplicates = answer.applied, answer.duplicates
            operation.rejected = [(each.index, each.reason) for each in answer.rejected]
            operation.version = answer.version
            self.counted += answer.applied
        elif answer is not None:
            operation.rejected = [(place, operation.error.replace("-", "_")) for place in range(len(operation.votes))]
        self.recorder.end(operation)

    async def insist(self, request: str, votes: list[SentVote]) -> None:
        """Send it until it is known what became of it. Perhaps send it once more then."""
        while not await self.cast(request, votes, False):
            if self.over:
                return
            await asyncio.sleep(self.chance.uniform(0.02, 0.2))
        if self.chance.random() < 0.5:
            counted = self.counted
            await asyncio.sleep(self.chance.uniform(0.1, 2.5))
            if self.counted - counted < WINDOW // 2 and not self.over:
                await self.cast(request, votes, False)

    # ---- clients ----------------------------------------------------------------------------------------------------

    async def voter(self) -> None:
        number = 0
        while not self.over:
            number += 1
            poll = CLOSING if self.chance.random() < 0.2 else LASTING
            request = f"{poll}-{number}"
            self.begin(self.insist(request, self.votes(poll, number)))
            await asyncio.sleep(self.chance.uniform(0.0, 0.06))

    async def session(self, producer: str) -> None:
        """Writers that follow each other. Each sends again what the one before it left open."""
        sequence, votes, epoch = 1, self.votes(LASTING, 0, has_ids=False), 0
        while not self.over or epoch == 0:
            if epoch == 0 or self.chance.random() < 0.15:
                before, epoch = epoch, await self._open_session(producer)
                if before and epoch:  # the writer before it does not know yet
                    await asyncio.sleep(self.chance.uniform(0.05, 0.3))
                    await self._batch(producer, before, sequence, votes)
                continue
            known = await self._batch(producer, epoch, sequence, votes)
            if known == "counted":
                sequence, votes = sequence + 1, self.votes(LASTING, 0, has_ids=False)
            elif known == "refused":
                epoch = 0
            await asyncio.sleep(self.chance.uniform(0.0, 0.2))
        await self._finish_session(producer, sequence, votes)

    async def _finish_session(self, producer: str, sequence: int, votes: list[SentVote]) -> None:
        """An opening without an answer may still come, and take the session from the last writer."""
        known: Known = "refused"
        epoch = 0
        while known != "counted":
            if known == "refused":
                epoch = await self._open_session(producer)
            known = await self._batch(producer, epoch, sequence, votes, settles=True) if epoch else "refused"
            await asyncio.sleep(0.1)

    async def _open_session(self, producer: str) -> int:
        """The new epoch; 0 if it is not known."""
        await asyncio.sleep(self.chance.uniform(0.0, 0.1))
        if (found := self.submitter()) is None:
            return 0
        name, submitter = found
        number, now = self.recorder.number(), self.recorder.now()
        operation = OpenSession(number=number, client=producer, node=name, begun=now, producer=producer)
        self.recorder.begin(operation)

        async def opened() -> None:
            result, operation.version = await submitter.open_producer(producer, timeout_s=WAIT_S)
            operation.epoch, operation.sequence = result.epoch, result.sequence

        await self.ask(operation, opened())
        self.recorder.end(operation)
        return operation.epoch

    async def _batch(
        self, producer: str, epoch: int, sequence: int, votes: list[SentVote], *, settles: bool = False
    ) -> Known:
        if (found := self.submitter()) is None:
            return "unknown"
        name, submitter = found
        operation = Cast(
            number=self.recorder.number(),
            client=producer,
            node=name,
            begun=self.recorder.now(),
            request=f"{producer}#{sequence}",
            votes=votes,
            way="session",
            producer=producer,
            epoch=epoch,
            sequence=sequence,
            settles=settles,
        )
        self.recorder.begin(operation)
        sent = [Vote(v.option, None, v.poll) for v in votes]
        self._note(
            operation,
            await self.ask(operation, submitter.cast_session(producer, epoch, sequence, sent, timeout_s=WAIT_S)),
        )
        return "unknown" if operation.outcome != "ok" else "refused" if operation.rejected else "counted"

    async def reader(self) -> None:
        levels: tuple[Level, ...] = ("none", "weak", "linearizable")
        while not self.over:
            if up := self.cluster.up():
                wants = self.recorder.newest_version if self.chance.random() < 0.3 else None
                self.begin(
                    self.read(
                        self.chance.choice(up), self.chance.choice(list(OPTIONS)), self.chance.choice(levels), wants
                    )
                )
            await asyncio.sleep(self.chance.uniform(0.0, 0.08))

    async def read(
        self, name: str, poll: str, level: Level, min_version: int | None = None, *, settles: bool = False
    ) -> None:
        reads = self.cluster.nodes[name].reads
        assert reads is not None
        number, now = self.recorder.number(), self.recorder.now()
        operation = Read(
            number=number, client="reader", node=name, begun=now, poll=poll, level=level, min_version=min_version
        )
        operation.settles = settles
        self.recorder.begin(operation)

        async def asked() -> None:
            found = await reads.results(poll, level=level, min_version=min_version or 0, wait_s=WAIT_S)
            operation.version, operation.results, operation.total = found.version, dict(found.results), found.total
            operation.state = found.state

        if await self.ask(operation, asked()) is None and operation.version is None:
            operation.outcome = "fail"
        self.recorder.end(operation)

    async def keeper(self) -> None:
        """Closes a poll, and opens it again."""
        to: Literal["open", "closed"] = "open"
        while not self.over:
            await asyncio.sleep(self.chance.uniform(0.3, 1.5))
            to = "closed" if to == "open" else "open"
            while not await self._change(to) and not self.over:
                await asyncio.sleep(0.1)

    async def _change(self, to: Literal["open", "closed"]) -> bool:
        if (found := self.submitter()) is None:
            return False
        name, submitter = found
        number, now = self.recorder.number(), self.recorder.now()
        operation = PollChange(number=number, client="keeper", node=name, begun=now, poll=CLOSING, to=to)
        self.recorder.begin(operation)

        async def changed() -> None:
            result, operation.version = await submitter.set_poll_state(CLOSING, to, timeout_s=WAIT_S)
            operation.before = result.before or ""

        await self.ask(operation, changed())
        self.recorder.end(operation)
        return operation.outcome == "ok"

    async def timer(self) -> None:
        """Creates polls that close by time. Nobody votes in them; what became of them shows in the digests."""
        number = 0
        while not self.over:
            number += 1
            closes_at_s = EPOCH_S + self.cluster.loop.time() + self.chance.uniform(0.1, 1.0)
            create = CreatePoll(f"timed-{number}", "", ["yes", "no"], "open", int(closes_at_s * 1000), False)
            if (found := self.submitter()) is not None:
                with contextlib.suppress(QuorateError, TimeoutError), as_client_of(found[0]):
                    async with asyncio.timeout(3 * WAIT_S):
                        await found[1].create_poll(create, timeout_s=WAIT_S)
            await asyncio.sleep(self.chance.uniform(0.1, 0.6))

    # ---- beginning and end ------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        first = self.cluster.leader()
        assert first is not None
        submitter = self.cluster.nodes[first].submitter
        assert submitter is not None
        await submitter.command(SetDedupWindow(WINDOW), timeout_s=10)
        for poll, options in OPTIONS.items():
            self.recorder.note(PollPlan(poll, options, self.recorder.now()))
            number, now = self.recorder.number(), self.recorder.now()
            operation = PollChange(
                number=number, client="keeper", node=first, begun=now, poll=poll, to="open", creates=True
            )
            self.recorder.begin(operation)
            create = CreatePoll(poll, "", list(options), "open", None, False)
            _, operation.version = await submitter.create_poll(create, timeout_s=10)
            operation.outcome = "ok"
            self.recorder.end(operation)

    async def settle(self) -> None:
        self.over = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), 20)
        for attempt in list(self._open.values()):
            while not await attempt(True):
                await asyncio.sleep(0.1)
        replicas = [node.replica for node in self.cluster.nodes.values() if node.replica is not None]
        await self.cluster.until(lambda: 1 == len({r.state.version for r in replicas}), 30, "one version")
        for poll in OPTIONS:
            await self.read(self.cluster.names[0], poll, "linearizable", settles=True)
            for name in self.cluster.names:
                await self.read(name, poll, "none", settles=True)
        for replica in replicas:
            number, now = self.recorder.number(), self.recorder.now()
            operation = NodeDigest(number=number, client="digests", node=replica.node_id, begun=now, outcome="ok")
            operation.version, operation.digest = replica.state.version, replica.state.digest()
            operation.chain = replica.state.chain.hex()
            self.recorder.begin(operation)
            self.recorder.end(operation)
