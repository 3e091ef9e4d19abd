"""Producer sessions: requests that are numbered instead of having ids, and writers that take a session over.

A request is known by its producer and its sequence. Whoever takes a session over sends the request that its predecessor
left open again: the same votes under the same sequence, and the new epoch. The answer says whether it had counted.
Before that the predecessor tries once more with the old epoch, as one does that was paused; it must be refused.
"""

from __future__ import annotations

import asyncio
import random

import msgspec

from quorate.chaos.history import OpenSession
from quorate.chaos.workload.casting import VotingClient
from quorate.chaos.workload.exchange import KeptConnection, LostAnswer, NeverSent
from quorate.chaos.workload.judged import of_change
from quorate.chaos.workload.ledger import VoteRequest, body_of
from quorate.chaos.workload.recorder import Recorder
from quorate.chaos.workload.scene import Scene

TAKEN_OVER_EVERY_S = 10.0
AGAIN_SHARE = 0.05
PAUSE_S = 0.1


class SessionWriter:
    """All writers of one session, one after the other."""

    def __init__(self, name: str, scene: Scene, home: int, chance: random.Random, pause_s: float) -> None:
        self.producer = f"{scene.polls.prefix}-{name}"
        self._scene, self._chance, self._pause_s = scene, chance, pause_s
        self._caster = VotingClient(name, scene, home, chance)
        self._epoch = 0  # of the present writer; 0: the session was never opened
        self._request = self._next(1)

    async def run(self) -> None:
        recorder, chance = self._scene.recorder, self._chance
        try:
            while True:
                await self._take_over()
                await self._write_until(recorder.now() + TAKEN_OVER_EVERY_S * chance.uniform(0.5, 1.5))
        finally:
            self._caster.close()

    async def settle(self) -> None:
        """Take the session over once more, and send the last request until it is known."""
        if self._epoch:
            try:
                await self._open()
                await self._finish(settles=True)
            finally:
                self._caster.close()

    async def _take_over(self) -> None:
        before = self._epoch
        await self._open()
        if before and not self._request.is_acknowledged:
            await self._caster.attempt(self._under(before))

    async def _write_until(self, end: float) -> None:
        """Returns earlier if another writer has the session."""
        while await self._finish():
            if self._chance.random() < AGAIN_SHARE:
                await self._caster.attempt(self._request)
            self._request = self._next(self._request.sequence + 1)
            if self._scene.recorder.now() >= end:
                return
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * self._pause_s)

    async def _finish(self, *, settles: bool = False) -> bool:
        """Send the last request until it is known. False: another writer has the session."""
        request = self._under(self._epoch)
        while not request.is_acknowledged:
            judged = await self._caster.attempt(request, settles=settles)
            if judged.rejected:  # only the session's next writer learns what became of it
                return False
            if judged.outcome != "ok":
                await self._pause()
        return True

    async def _open(self) -> None:
        """Open the session until it is open. Each time that an answer was lost it may have been opened once more."""
        while (epoch := await open_session(self._caster.connection, self._scene.recorder, self.producer)) is None:
            await self._pause()
        self._epoch = epoch

    async def _pause(self) -> None:
        await asyncio.sleep(PAUSE_S * self._chance.uniform(0.5, 1.5))
        self._caster.move()

    def _next(self, sequence: int) -> VoteRequest:
        chance, poll = self._chance, self._scene.polls.session
        votes = [poll.choose(chance) for _ in range(chance.randint(1, 5))]
        request = VoteRequest(f"{self.producer}#{sequence}", votes, body_of(votes), way="session")
        request.producer, request.sequence = self.producer, sequence
        return request

    def _under(self, epoch: int) -> VoteRequest:
        """The last request, as the writer of that epoch sends it."""
        request = self._request
        request.epoch = epoch
        request.headers = (("X-Quorate-Producer", f"{self.producer};epoch={epoch};sequence={request.sequence}"),)
        return request


async def open_session(connection: KeptConnection, recorder: Recorder, producer: str) -> int | None:
    """The epoch under which it was opened. None: that is not known, or it was not."""
    operation = recorder.begin(
        OpenSession(
            number=recorder.number(),
            client=producer,
            node=connection.node.id,
            begun=recorder.now(),
            producer=producer,
        )
    )
    try:
        answer = await connection.ask("POST", "/producers", msgspec.json.encode({"producer": producer}))
    except NeverSent as error:
        operation.outcome, operation.error = "fail", f"not sent: {error}"
    except LostAnswer as error:
        operation.error = str(error)
    else:
        judged, told = of_change(answer), answer.json()
        operation.outcome, operation.error = judged.outcome, judged.error
        operation.version, operation.served_by = answer.version, answer.served_by
        if judged.outcome == "ok":
            operation.epoch, operation.sequence = told["epoch"], told["sequence"]
    recorder.end(operation)
    return operation.epoch if operation.outcome == "ok" else None
