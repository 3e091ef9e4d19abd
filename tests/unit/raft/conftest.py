"""The loops on which the tests of connections run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from tests.support.on_loop import DEADLINE_S
from tests.unit.raft.raw_peer import Run


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """The default loop, and the one that nodes run on."""
    factory: Callable[[], asyncio.AbstractEventLoop] = request.param

    def run(main: object) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(main, DEADLINE_S))  # type: ignore[arg-type]  # Run says what it is

    return run
