"""The clients, the same for each system: closed loops of votes, readers, a probe, and the end.

All that they send and are told goes into a history, as `quorate chaos` writes it. Votes go to the poll of the moment,
and each two seconds another poll begins: so one vote lost and another one counted twice seldom meet in one total.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from bench.elsewhere.doors import OPTIONS, VoteDoor
from quorate.chaos.checkers.evidence import NEVER
from quorate.chaos.history import Cast, HistoryFile, PollPlan, Read, SentVote
from quorate.chaos.workload.probe import EVERY_S, IN_FLIGHT_MAX, NAME
from quorate.chaos.workload.recorder import Recorder

T = TypeVar("T")

VOTERS, READERS, SETTLERS = 12, 4, 6
PAUSE_S, READ_PAUSE_S = 0.01, 0.03  # after each answer, on average
AGAIN_S, AGAIN_MAX_S = 0.02, 0.5
PATIENCE_S = 8.0  # then a client goes on, and the question stays open until the end
ROUND_S = 2.0
STOP_S, CANCEL_S = 30.0, 1.0
SETTLE_S = 90.0
PROBE_POLL = "probe"

MakeDoor = Callable[[int, random.Random], VoteDoor]


def polls_of(seconds: float) -> list[str]:
    """The polls of a run that lasts so long."""
    return [PROBE_POLL, *(f"round-{number}" for number in range(int(seconds / ROUND_S) + 1))]


class PeerClients:
    """`start`, `stop`, `settle` and `close`, in this order. Any thread may call them.

    `resends`: whoever gets no answer sends the vote again, until there is one. Otherwise each vote is one call of the
    system's own client, which may send it again by itself.
    """

    def __init__(self, make_door: MakeDoor, history: HistoryFile, *, seed: int, seconds: float, resends: bool) -> None:
        self.recorder = Recorder(history, lambda _: None)
        self.failure: BaseException | None = None
        self.polls = polls_of(seconds)
        self._make_door, self._seed, self._resends = make_door, seed, resends
        self._open: dict[str, SentVote] = {}  # by id: votes that may have counted, to be sent again in the end
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clients", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._call(self._start(), STOP_S)

    def stop(self) -> None:
        self._call(self._stop(), STOP_S)

    def settle(self) -> str:
        """Why not everything is known. Empty: it is."""
        return self._call(self._settle(), SETTLE_S + STOP_S)

    def close(self) -> None:
        if self._thread.is_alive():
            self._call(self._end_others(), STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        calling: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return calling.result(timeout_s)

    async def _end_others(self) -> None:
        await end_all(asyncio.all_tasks() - {asyncio.current_task()})

    # ---- while things break -----------------------------------------------------------------------------------------

    async def _start(self) -> None:
        for poll in self.polls:
            self.recorder.note(PollPlan(poll, dict.fromkeys(OPTIONS, 1), self.recorder.now()))
        running = [self._votes(f"voter-{place}", place) for place in range(VOTERS)]
        running += [self._reads(f"reader-{place}", place) for place in range(READERS)]
        running.append(self._probe())
        for each in running:
            task = asyncio.create_task(each)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def _stop(self) -> None:
        await end_all(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failure = self.failure or error

    async def _votes(self, name: str, place: int) -> None:
        chance = self._chance(name)
        door, sent = self._make_door(place, chance), 0
        try:
            while True:
                sent += 1
                vote = SentVote(chance.choice(OPTIONS), f"{name}.{sent}", self._poll_now())
                await self._until_told(name, door, vote, chance)
                await asyncio.sleep(chance.uniform(0.5, 1.5) * PAUSE_S)
        finally:
            await door.close()

    async def _until_told(self, name: str, door: VoteDoor, vote: SentVote, chance: random.Random) -> None:
        end, pause_s = self.recorder.now() + PATIENCE_S, AGAIN_S
        while not await self._attempt(name, door, vote):
            door.move()
            if not self._resends or self.recorder.now() > end:
                return
            await asyncio.sleep(pause_s * chance.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, AGAIN_MAX_S)

    async def _reads(self, name: str, place: int) -> None:
        chance = self._chance(name)
        door = self._make_door(place, chance)
        try:
            while True:
                done = await self._read(name, door, self._poll_now())
                if done.outcome != "ok":
                    door.move()
                await asyncio.sleep(chance.uniform(0.5, 1.5) * READ_PAUSE_S)
        finally:
            await door.close()

    async def _probe(self) -> None:
        """One vote each 100 ms, whatever became of those before. Above `IN_FLIGHT_MAX` it passes over its turn."""
        chance, loop = self._chance(NAME), asyncio.get_running_loop()
        idle: list[VoteDoor] = []
        sending: set[asyncio.Task[None]] = set()
        sent, due_s = 0, loop.time()
        try:
            while True:
                if len(sending) < IN_FLIGHT_MAX:
                    sent += 1
                    door = idle.pop() if idle else self._make_door(sent, chance)
                    task = asyncio.create_task(self._probe_once(door, f"{NAME}.{sent}", chance, idle))
                    sending.add(task)
                    task.add_done_callback(sending.discard)
                due_s = max(due_s + EVERY_S, loop.time() - EVERY_S)
                await asyncio.sleep(due_s - loop.time())
        finally:
            await end_all(list(sending))
            for door in idle:
                await door.close()

    async def _probe_once(self, door: VoteDoor, id: str, chance: random.Random, idle: list[VoteDoor]) -> None:
        try:
            if not await self._attempt(NAME, door, SentVote(chance.choice(OPTIONS), id, PROBE_POLL)):
                door.move()
        finally:
            idle.append(door)

    def _poll_now(self) -> str:
        rounds = self.polls[1:]
        return rounds[min(int(self.recorder.now() / ROUND_S), len(rounds) - 1)]

    # ---- one operation ----------------------------------------------------------------------------------------------

    async def _attempt(self, name: str, door: VoteDoor, vote: SentVote, *, settles: bool = False) -> bool:
        """Whether an answer says that it is counted."""
        recorder, id = self.recorder, str(vote.id)
        operation = recorder.begin(
            Cast(
                number=recorder.number(),
                client=name,
                node=door.node,
                begun=recorder.now(),
                request=id,
                votes=[vote],
                settles=settles,
            )
        )
        if self._resends:
            self._open[id] = vote  # also if this client is stopped before the answer comes
        told = await door.cast(vote)
        operation.outcome, operation.error, operation.version = told.outcome, told.error, told.version
        if told.outcome == "ok":
            operation.applied, operation.duplicates = int(not told.duplicate), int(told.duplicate)
            self._open.pop(id, None)
        recorder.end(operation)
        return told.outcome == "ok"

    async def _read(self, name: str, door: VoteDoor, poll: str, *, settles: bool = False) -> Read:
        recorder = self.recorder
        operation = recorder.begin(
            Read(
                number=recorder.number(),
                client=name,
                node=door.node,
                begun=recorder.now(),
                poll=poll,
                level="linearizable",
                settles=settles,
            )
        )
        told = await door.read(poll)
        operation.outcome, operation.error, operation.version = told.outcome, told.error, told.version
        if told.outcome == "ok":
            operation.results, operation.total, operation.state = told.results, sum(told.results.values()), "open"
            if settles and told.version is None:
                operation.version = NEVER  # a system without versions: this read comes after all
        recorder.end(operation)
        return operation

    # ---- the end ----------------------------------------------------------------------------------------------------

    async def _settle(self) -> str:
        try:
            async with asyncio.timeout(SETTLE_S):
                todo = list(self._open.values())
                await asyncio.gather(*(self._send_again(todo, place) for place in range(SETTLERS)))
                await self._read_all()
        except TimeoutError:
            return f"within {SETTLE_S:g} s not all votes had an answer and not all polls were read"
        return "" if self.failure is None else f"a client failed: {self.failure!r}"

    async def _send_again(self, todo: list[SentVote], place: int) -> None:
        chance = self._chance(f"settle-{place}")
        door = self._make_door(place, chance)
        try:
            while todo:
                vote = todo.pop()
                while not await self._attempt("settle", door, vote, settles=True):
                    door.move()
                    await asyncio.sleep(AGAIN_S)
        finally:
            await door.close()

    async def _read_all(self) -> None:
        door = self._make_door(0, self._chance("last"))
        try:
            for poll in self.polls:
                while (await self._read("settle", door, poll, settles=True)).outcome != "ok":
                    door.move()
                    await asyncio.sleep(AGAIN_S)
        finally:
            await door.close()

    def _chance(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}.{name}")


async def end_all(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    """Cancel them until they have ended: a client's library may swallow a cancellation while it sends again."""
    left = {task for task in tasks if task is not None}
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=CANCEL_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # what became of it does not matter any more
