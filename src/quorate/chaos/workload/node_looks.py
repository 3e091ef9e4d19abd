"""Looks at the nodes, about once a second each: what a node says of itself, and what the run knows of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quorate.chaos.history import NodeLook
from quorate.chaos.workload.exchange import AskedNode, KeptConnection, LostAnswer, NeverSent
from quorate.chaos.workload.scene import Scene

EVERY_S = 1.0
ANSWER_S = 2.0

Role = Literal["leader", "follower", "candidate", "learner", "down", "paused", "silent", "starting"]
ROLES: Mapping[str, Role] = {
    "leader": "leader",
    "follower": "follower",
    "candidate": "candidate",
    "starting": "starting",
    "halted": "down",
}


@dataclass(frozen=True, slots=True)
class KnownState:
    """What the run knows of a node without asking it."""

    is_down: bool = False
    is_paused: bool = False
    is_cut_off: bool = False
    memory_bytes: int = 0
    is_harmed: bool = False


@dataclass(slots=True)
class NodeSight:
    """The last look at a node, and all that it said of itself."""

    look: NodeLook
    status: Mapping[str, Any] = field(default_factory=dict)


Noticed = Callable[[NodeSight, NodeSight | None], None]  # of a node: now, and before


class NodeWatcher:
    """`known` is asked before each look. `noticed` is told each look with the one before it."""

    def __init__(self, node: AskedNode, scene: Scene, known: Callable[[str], KnownState], noticed: Noticed) -> None:
        self._recorder, self._known, self._noticed = scene.recorder, known, noticed
        self._connection = KeptConnection(node)
        self.node = node.id
        self.sight: NodeSight | None = None

    async def run(self) -> None:
        try:
            while True:
                begun_s = time.monotonic()
                await self.look()
                await asyncio.sleep(max(0.1, EVERY_S - (time.monotonic() - begun_s)))
        finally:
            self._connection.close()

    async def look(self) -> None:
        status = await self._status()
        known = self._known(self.node)
        sight = NodeSight(look_of(self.node, self._recorder.now(), status, known), status)
        before, self.sight = self.sight, sight
        self._recorder.note(sight.look)
        self._noticed(sight, before)

    async def _status(self) -> Mapping[str, Any]:
        """Empty if it does not answer."""
        try:
            answer = await self._connection.ask("GET", "/status", timeout_s=ANSWER_S)
        except (NeverSent, LostAnswer):
            return {}
        return answer.json() if answer.status == 200 else {}


def look_of(node: str, at: float, status: Mapping[str, Any], known: KnownState) -> NodeLook:
    raft, state = status.get("raft", {}), status.get("state", {})
    return NodeLook(
        at,
        node,
        _role(raft, known),
        term=raft.get("term", 0),
        version=status.get("version", 0),
        log_index=raft.get("last_index", 0),
        queue_bytes=status.get("submit", {}).get("waiting_bytes", 0),
        dedup_ids=_in_common(state.get("dedup", {})),
        memory_bytes=known.memory_bytes,
        cut_off=known.is_cut_off,
        harmed=known.is_harmed,
        sinks=_behind(status) if raft.get("role") == "leader" else {},
    )


def _in_common(dedup: Mapping[str, Any]) -> int:
    """Tokens may have shares of their own, which are no part of the window."""
    return int(dedup.get("held", 0)) - sum(map(int, (dedup.get("shares") or {}).values()))


def _behind(status: Mapping[str, Any]) -> dict[str, int]:
    """A sink that nothing has been written to yet lacks all versions."""
    lags = {name: sink.get("lag_versions") for name, sink in (status.get("sinks") or {}).items()}
    return {name: status.get("version", 0) if lag is None else lag for name, lag in lags.items()}


def _role(raft: Mapping[str, Any], known: KnownState) -> Role:
    if known.is_down:
        return "down"
    if known.is_paused:
        return "paused"
    role = ROLES.get(raft.get("role", ""), "silent")
    return "learner" if role == "follower" and raft.get("voter") is False else role
