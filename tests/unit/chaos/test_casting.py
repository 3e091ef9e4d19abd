"""A client that is stopped loses no request whose outcome is unknown: it is sent again in the end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from quorate.chaos.history import HistoryFile
from quorate.chaos.workload import casting
from quorate.chaos.workload.casting import VotingClient
from quorate.chaos.workload.exchange import AskedNode
from quorate.chaos.workload.ledger import Ledger, VoteRequest, request_of
from quorate.chaos.workload.plan import RunPolls
from quorate.chaos.workload.recorder import Recorder
from quorate.chaos.workload.scene import Scene
from quorate.processes.waiting import until


async def stopped_while_it_waits(scene: Scene, request: VoteRequest, *, after_attempts: int) -> None:
    """Cancel the client that sends the request, when so many attempts had no answer."""
    client = VotingClient("c1", scene, 0, random.Random(0))
    sending = asyncio.create_task(client.until_told(request, patience_s=60))
    await until("it was tried", lambda: request.unknown_attempts >= after_attempts)
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    client.close()


def test_a_request_is_kept_if_its_client_is_stopped_between_two_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(casting, "PAUSE_S", 60.0)
    history = HistoryFile(tmp_path / "history.ndjson")

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def run() -> tuple[Ledger, VoteRequest]:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            node = AskedNode("n1", "127.0.0.1", server.sockets[0].getsockname()[1])
            polls = RunPolls("c1")
            scene = Scene([node], polls, Recorder(history, lambda change: None), Ledger(1000))
            request = request_of("r1", [polls.single.choose(random.Random(0), "r1")])
            await stopped_while_it_waits(scene, request, after_attempts=1)
            return scene.ledger, request

    ledger, request = asyncio.run(run())
    history.close()
    assert {"r1": request} == ledger.unsettled
