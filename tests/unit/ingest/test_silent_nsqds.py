"""When an nsqd is taken for dead: by how long it has been silent, whatever the wall clock says meanwhile."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from quorate.ingest.nsq.connection import NsqdConnection
from quorate.ingest.nsq.settings import NsqSettings
from quorate.ingest.nsq.subscription import SILENT_S, Subscription

DAY_S = 86_400.0


@dataclass
class Outcome:
    closed: bool = False
    troubles: list[str] = field(default_factory=list)

    def note(self, subject: str, trouble: str) -> bool:
        self.troubles.append(trouble)
        return True


def looked_after(monkeypatch: pytest.MonkeyPatch, *, silent_s: float, jump_s: float) -> Outcome:
    """A connection that was heard so long ago by the monotonic clock, after which the wall clock jumped."""
    outcome = Outcome()

    async def run() -> None:
        settings = NsqSettings(nsqd=["127.0.0.1:1"])
        subscription = Subscription(settings, "n1", take=lambda _: None, note_trouble=outcome.note)
        connection: Any = NsqdConnection("127.0.0.1", 1, "votes", lambda *_: None)
        monkeypatch.setattr(connection, "close", lambda: setattr(outcome, "closed", True))
        wall_s, monotonic_s = time.time(), time.monotonic()
        monkeypatch.setattr("time.time", lambda: wall_s + silent_s + jump_s)
        monkeypatch.setattr("time.monotonic", lambda: monotonic_s + silent_s)
        try:
            subscription._check(connection)
            subscription.conns["it"] = connection
            subscription._check_last_recv_timestamps()
        finally:
            monkeypatch.undo()
            subscription.conns.clear()
            await subscription.stop()

    asyncio.run(run())
    return outcome


@pytest.mark.parametrize("jump_s", [0.0, 60.0, DAY_S, -DAY_S])
def test_an_nsqd_that_was_heard_lately_is_kept(monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    assert Outcome() == looked_after(monkeypatch, silent_s=1.0, jump_s=jump_s)


@pytest.mark.parametrize("jump_s", [0.0, DAY_S, -DAY_S])
def test_an_nsqd_that_is_silent_is_left(monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    outcome = looked_after(monkeypatch, silent_s=SILENT_S + 1, jump_s=jump_s)
    assert outcome.closed
    assert ["127.0.0.1:1 has been silent for 12.5 s: hanging up"] == outcome.troubles
