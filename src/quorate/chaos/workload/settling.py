"""The end of a run, when all is mended: every open question is asked until it is answered.

Each request whose outcome is unknown is sent again; then a sample of those that were acknowledged. Each poll is read
from a confirmed leader, and each node shows its own tallies and its digest, at one version.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from quorate.chaos.workload.casting import VotingClient
from quorate.chaos.workload.digests import AHEAD, digests_at
from quorate.chaos.workload.exchange import KeptConnection
from quorate.chaos.workload.ledger import VoteRequest
from quorate.chaos.workload.reading import read
from quorate.chaos.workload.scene import Scene
from quorate.chaos.workload.sessions import SessionWriter
from quorate.chaos.workload.sink_looks import SinkWatcher
from quorate.words import count

CLIENTS = 6
AGAIN = 300  # acknowledged requests that are sent again
CLIENT = "settle"
TURN_S = 5.0


class Settling:
    def __init__(
        self,
        scene: Scene,
        sessions: Sequence[SessionWriter],
        sinks: Sequence[SinkWatcher],
        chance: random.Random,
    ) -> None:
        self._scene, self._sessions, self._sinks, self._chance = scene, sessions, sinks, chance
        self._final: dict[str, dict[str, int]] = {}  # poll -> its results in the end
        self._connections = [KeptConnection(node) for node in scene.nodes]
        self._doing = "taking over the sessions"

    async def run(self, deadline_s: float) -> str:
        """Why not everything is known. Empty: it is."""
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.gather(*(session.settle() for session in self._sessions))
                self._doing = "sending again what has no answer"
                await self._resend([*self._scene.ledger.unsettled.values(), *self._scene.ledger.doubtful.values()])
                self._doing = "sending again what was acknowledged"
                await self._resend(self._scene.ledger.sample(self._chance, AGAIN))
                self._doing = "reading each poll"
                await self._read_polls()
                self._doing = "reading one version at all nodes"
                await self._until_agreed()
                for sink in self._sinks:
                    self._doing = f"waiting until {sink.name} shows each tally"
                    await self._until_shown(sink)
        except TimeoutError:
            return self._what_is_open(deadline_s)
        finally:
            for connection in self._connections:
                connection.close()
        return ""

    def _what_is_open(self, deadline_s: float) -> str:
        left = len(self._scene.ledger.unsettled)
        if left:
            return f"{count(left, 'request')} had no answer within {deadline_s:g} s at the end"
        return f"at the end, {self._doing} was not done within {deadline_s:g} s"

    async def _resend(self, requests: Sequence[VoteRequest]) -> None:
        todo = list(requests)

        async def send(place: int) -> None:
            caster = VotingClient(CLIENT, self._scene, place, random.Random(self._chance.random()))
            try:
                while todo:
                    request = todo.pop()
                    while not await caster.until_told(request, patience_s=TURN_S, settles=True):
                        pass
            finally:
                caster.close()

        await asyncio.gather(*(send(place) for place in range(CLIENTS)))

    async def _read_polls(self) -> None:
        for poll in [*self._scene.polls.made]:
            while True:
                connection = self._chance.choice(self._connections)
                found = await read(connection, self._scene.recorder, CLIENT, poll.id, "linearizable", settles=True)
                if found.outcome == "ok":
                    self._final[poll.id] = found.results
                    break
                await asyncio.sleep(0.1)

    async def _until_shown(self, sink: SinkWatcher) -> None:
        while True:
            shown = await sink.look()
            if all(shown.get(poll) == results for poll, results in self._final.items()):
                return
            await asyncio.sleep(0.2)

    async def _until_agreed(self) -> None:
        while True:
            if await self._agree() or await self._agree_ahead():
                return
            await asyncio.sleep(0.2)

    async def _agree(self) -> bool:
        """Whether every node has shown its digest and its tallies at one version."""
        taken = await digests_at(self._connections, self._scene.recorder, None)
        versions = {digest.version for digest in taken}
        if len(versions) == 1 and (version := versions.pop()) is not None:
            return all(await asyncio.gather(*(self._tallies(connection, version) for connection in self._connections)))
        return False

    async def _agree_ahead(self) -> bool:
        """Others write to this cluster, so it has passed each version before we can ask for it."""
        newest = self._scene.recorder.newest_version
        await asyncio.gather(*(self._tallies(connection, newest) for connection in self._connections))
        taken = await digests_at(self._connections, self._scene.recorder, newest + AHEAD)
        return all(digest.outcome == "ok" for digest in taken)

    async def _tallies(self, connection: KeptConnection, version: int) -> bool:
        """Whether the node has shown all tallies at that version."""
        found = [
            await read(connection, self._scene.recorder, CLIENT, poll.id, "none", version, settles=True)
            for poll in self._scene.polls.made
        ]
        return all(each.outcome == "ok" and each.version == version for each in found)
