"""Leadership hand-over (Raft thesis 3.10): the leader asks a follower that has its whole log to hold an election."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from quorate.cluster.raft.engine.elections import LEADER
from quorate.cluster.raft.engine.engine import Engine
from quorate.crash_points import crash_point

TRANSFER_S = 2.0
POLL_S = 0.01


async def hand_over(engine: Engine, *, is_running: Callable[[], bool], guard: Callable[..., Any]) -> bool:
    """Ask caught-up followers, one after the other, until this node leads no more; False after `TRANSFER_S`.

    A follower may be asked in vain, so after half an election timeout the next one is asked. The caller must see to it
    that nothing is proposed meanwhile: otherwise no follower may ever have the whole log.
    """
    loop = asyncio.get_running_loop()
    asked: list[str] = []
    ask_next_s, deadline_s = 0.0, loop.time() + TRANSFER_S
    while is_running() and engine.role == LEADER and loop.time() < deadline_s:
        if loop.time() >= ask_next_s:
            peer = guard(engine.transfer_to_caught_up, asked)
            if peer is not None:
                crash_point("handover-asked")
                asked.append(peer)
                ask_next_s = loop.time() + engine.timing.election_s / 2
        await asyncio.sleep(POLL_S)
    return is_running() and engine.role != LEADER
