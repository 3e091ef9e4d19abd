"""What the rest of Quorate sees of the replicated log: propose an entry, learn its fate, ask who leads.

The only implementation that talks Raft is in `cluster/raft/`; tests and a single embedded node may hand in another.
Everything here runs on the node's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from quorate.cluster.fsm import Applied, StateMachine

PeerHandler = Callable[[str, bytes], Awaitable[bytes]]  # (peer's node id, request) -> answer


class Replica(Protocol):
    node_id: str

    @property
    def state(self) -> StateMachine:
        """What has been applied here. Only this replica changes it, and a snapshot may replace it."""
        ...

    @property
    def leader(self) -> str | None:
        """The node id of the leader this node believes in, itself included; None when it knows none."""
        ...

    @property
    def is_leader(self) -> bool:
        """Whether this node may answer as leader: elected, an entry of its own term applied, a majority heard."""
        ...

    @property
    def term(self) -> int: ...

    @property
    def age_ms(self) -> int:
        """How long ago this node last heard from a leader; 0 on a leader. Bounds how stale a local read can be."""
        ...

    def now_ms(self) -> int:
        """The time a leader stamps on an entry (Unix, ms): its clock, but no jump that one bad clock would make."""
        ...

    def propose(self, entry: bytes) -> asyncio.Future[Applied]:
        """Append `entry` to the log if this node leads.

        The future ends with what applying it gave, or raises `NoLeader` or `Overloaded` (surely not appended),
        `OutcomeUnknown` (it may still commit) or `Halted`. It has no deadline: a leader that loses its majority steps
        down, but what it proposed stays open until what a later leader committed reaches it, or the replica ends. So
        callers bound their own wait.
        """
        ...

    async def barrier(self) -> int:
        """Wait until everything committed before this call is applied here; the version then. Leader only.

        Calls that wait together share one round. Raises as `propose` does.
        """
        ...

    async def call(self, peer: str, kind: str, request: bytes, *, timeout_s: float | None = None) -> bytes:
        """Ask a peer over the link between nodes, and wait for its answer: `timeout_s`, or ten seconds.

        Raises `NoLeader` if it surely was not sent, `OutcomeUnknown` if the link broke after it may have been, or
        there is no answer in time.
        What the peer's handler raised as a `QuorateError` is raised here as the same class.
        """
        ...

    def serve(self, kind: str, handler: PeerHandler) -> None:
        """Answer peers' calls of this kind. One handler a kind, set before `start`."""
        ...

    def on_applied(self, listener: Callable[[Applied], None]) -> None:
        """Call `listener` after each entry applied here, on the loop; it must be quick. One that raises is logged."""
        ...

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        """Call `listener` when `is_leader` changes."""
        ...

    async def transfer_leadership(self) -> bool:
        """Hand leadership to the most caught-up follower; False if nobody took it in time."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Idempotent; every open proposal has been answered when it returns."""
        ...
