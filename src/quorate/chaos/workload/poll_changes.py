"""Makes polls, and has some of them close: by hand, open again and by hand, or by their closing time."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Literal

import msgspec

from quorate.chaos.history import PollChange, PollPlan
from quorate.chaos.workload.casting import VotingClient
from quorate.chaos.workload.exchange import LostAnswer, NeverSent
from quorate.chaos.workload.judged import of_change
from quorate.chaos.workload.plan import RunPoll
from quorate.chaos.workload.scene import Scene

PAUSE_S = 0.1
OPEN_S = 4.0  # about as long as a poll is open
AFTER_S = 2.0  # votes go on after it closed
POLLS_MAX = 200  # of each kind
HOPELESS = {"invalid", "unknown-poll"}  # a closing time that is past by now, of a poll that was not made in time

Wanted = Literal["open", "closed"]


class PollKeeper:
    """One client that creates and changes polls, and does not give up."""

    def __init__(self, name: str, scene: Scene, home: int, chance: random.Random) -> None:
        self._scene, self._chance = scene, chance
        self._caster = VotingClient(name, scene, home, chance)
        self._made = 0

    async def create(self, poll: RunPoll) -> bool:
        """False: it was not created in time."""
        recorder = self._scene.recorder
        recorder.note(PollPlan(poll.id, poll.options, recorder.now()))
        body: dict[str, object] = {"id": poll.id, "options": list(poll.options)}
        if poll.closes_at_ms is not None:
            body["closes_at"] = datetime.fromtimestamp(poll.closes_at_ms / 1000, UTC).isoformat()
        done = await self._until_done("/polls", body, poll, "open", creates=True)
        if done:
            self._scene.polls.made.append(poll)
        return done

    async def set_state(self, poll: RunPoll, state: Wanted) -> None:
        await self._until_done(f"/polls/{poll.id}/state", {"state": state}, poll, state, creates=False)

    async def close_by_hand(self) -> None:
        """Polls that are closed by hand, one after the other. Half of them are opened and closed once more."""
        chance, closing = self._chance, self._scene.polls.closing
        while self._made < POLLS_MAX:
            poll = await self._open_one("hand")
            for turn in range(chance.choice((1, 2))):
                if turn:
                    await self.set_state(poll, "open")
                await self._sleep(OPEN_S)
                await self.set_state(poll, "closed")
                await self._sleep(AFTER_S)
            closing.remove(poll)

    async def close_by_time(self) -> None:
        """Polls with a closing time, one after the other."""
        while self._made < POLLS_MAX:
            poll = await self._open_one("timed", closes_in_s=OPEN_S * self._chance.uniform(0.7, 1.5))
            assert poll.closes_at_ms is not None
            await asyncio.sleep(max(0.0, poll.closes_at_ms / 1000 - time.time()))
            await self._sleep(AFTER_S)
            self._scene.polls.closing.remove(poll)

    async def _open_one(self, kind: str, closes_in_s: float | None = None) -> RunPoll:
        """A poll that is open, or was a moment ago."""
        while True:
            self._made += 1
            closes_at_ms = None if closes_in_s is None else int((time.time() + closes_in_s) * 1000)
            poll = self._scene.polls.make(f"{kind}-{self._made}", 4, closes_at_ms)
            if await self.create(poll):
                self._scene.polls.closing.append(poll)
                return poll

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._chance.uniform(0.5, 1.5))

    async def _until_done(self, path: str, body: object, poll: RunPoll, to: Wanted, *, creates: bool) -> bool:
        encoded = msgspec.json.encode(body)
        while (done := await self._ask(path, encoded, poll, to, creates=creates)).outcome != "ok":
            if done.error in HOPELESS:
                return False
            await asyncio.sleep(PAUSE_S * self._chance.uniform(0.5, 1.5))
            self._caster.move()
        return True

    async def _ask(self, path: str, body: bytes, poll: RunPoll, to: Wanted, *, creates: bool) -> PollChange:
        recorder, connection = self._scene.recorder, self._caster.connection
        operation = recorder.begin(
            PollChange(
                number=recorder.number(),
                client=self._caster.name,
                node=connection.node.id,
                begun=recorder.now(),
                poll=poll.id,
                to=to,
                creates=creates,
                closes_at_ms=poll.closes_at_ms,
            )
        )
        try:
            answer = await connection.ask("POST", path, body)
        except NeverSent as error:
            operation.outcome, operation.error = "fail", f"not sent: {error}"
        except LostAnswer as error:
            operation.error = str(error)
        else:
            judged = of_change(answer)
            operation.outcome, operation.error = judged.outcome, judged.error
            operation.version, operation.served_by = answer.version, answer.served_by
            operation.before = str(answer.json().get("before", "")) if not creates else _before(answer.status)
        recorder.end(operation)
        return operation

    def close(self) -> None:
        self._caster.close()


def _before(status: int) -> str:
    """Of a creation: a poll that is there already is answered 200."""
    return "there" if status == 200 else ""
