"""The digests of all nodes at one version: now and then during the run, and in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from quorate.chaos.history import NodeDigest
from quorate.chaos.workload.exchange import KeptConnection, LostAnswer, NeverSent
from quorate.chaos.workload.judged import of_read
from quorate.chaos.workload.recorder import Recorder
from quorate.chaos.workload.scene import Scene

EVERY_S = 5.0
AHEAD = 40  # versions: nodes make a digest of a version that they come to, not of one that is past
CLIENT = "digests"


class DigestTaker:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._connections = [KeptConnection(node) for node in scene.nodes]

    async def run(self) -> None:
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                await digests_at(self._connections, self._scene.recorder, self._scene.recorder.newest_version + AHEAD)
        finally:
            for connection in self._connections:
                connection.close()


async def digests_at(
    connections: Sequence[KeptConnection], recorder: Recorder, version: int | None, *, wait: str = "3s"
) -> list[NodeDigest]:
    """Of all nodes at once. Those that come to the version in time answer. None: the version that each has now."""
    taking = (digest_at(connection, recorder, version, wait=wait) for connection in connections)
    return list(await asyncio.gather(*taking))


async def digest_at(connection: KeptConnection, recorder: Recorder, version: int | None, *, wait: str) -> NodeDigest:
    operation = recorder.begin(
        NodeDigest(number=recorder.number(), client=CLIENT, node=connection.node.id, begun=recorder.now())
    )
    operation.outcome = "fail"
    try:
        answer = await connection.ask("GET", "/digest" if version is None else f"/digest?version={version}&wait={wait}")
    except (NeverSent, LostAnswer) as error:
        operation.error = str(error)
    else:
        judged = of_read(answer)
        operation.outcome, operation.error, operation.served_by = judged.outcome, judged.error, answer.served_by
        if judged.outcome == "ok":
            told = answer.json()
            operation.version, operation.digest = told["version"], told["digest"]
            operation.chain = told.get("chain") or ""
    recorder.end(operation)
    return operation
