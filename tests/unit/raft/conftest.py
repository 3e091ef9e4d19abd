"""The loops on which the tests of connections run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from quorate.cluster.raft.transport import connection, transport
from tests.support.on_loop import DEADLINE_S
from tests.unit.raft.raw_peer import Run


@pytest.fixture(autouse=True)
def _is_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """So who is hung up on is not hung up on by a deadline, but where a test gives one."""
    monkeypatch.setattr(connection, "HANDSHAKE_S", 60.0)
    monkeypatch.setattr(transport, "SILENCE_S", 60.0)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """The default loop, and the one that nodes run on."""
    factory: Callable[[], asyncio.AbstractEventLoop] = request.param

    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(main, DEADLINE_S))

    return run
