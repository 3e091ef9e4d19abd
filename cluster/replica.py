"""What the rest of Quorate sees of the replicated log: propose an entry, learn its outcome, ask which node leads.

The implementation is in `cluster/raft/`. Tests use another one, without a network and a disk. Everything here runs on
the node's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from quorate.cluster.fsm import Applied, StateMachine

PeerHandler = Callable[[str, bytes], Awaitable[bytes]]  # (the peer's node id, its request) -> the answer


@dataclass(frozen=True, slots=True)
class LogPoint:
    """An entry of the log. Its chain value covers all entries up to it, so it tells whether two logs are equal."""

    index: int
    term: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """A committed entry. `kind` says in words what `payload` is; "batches" are what clients asked for."""

    index: int
    term: int
    chain: bytes
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries in the order of the log. The node holds `first` to `last` of those that it has applied."""

    first: int
    last: int
    entries: list[LoggedEntry]


class Replica(Protocol):
    node_id: str

    @property
    def state(self) -> StateMachine:
        """What has been applied on this node. Only the replica changes it, and a snapshot may replace it."""
        ...

    @property
    def leader(self) -> str | None:
        """The node that this node believes to be the leader; it may be this node itself. None if it knows no leader.

        Belief ends with the leader's silence, after an election timeout, though the connection to it may stay open.
        """
        ...

    @property
    def leader_via(self) -> str | None:
        """The peer that passes calls on to the leader, if this node does not hear the leader itself; else None.

        Such a node's log gets nothing new, so its own state falls behind.
        """
        ...

    @property
    def expects_leader(self) -> bool:
        """Whether a leader is known, or may be known soon.

        False where none has been known for two election timeouts and this node hears too few peers to elect one: what
        waits for a leader here waits in vain.
        """
        ...

    @property
    def is_leader(self) -> bool:
        """Whether this node may answer as the leader: it is elected, and has applied an entry of its own term."""
        ...

    @property
    def term(self) -> int: ...

    def require_level(self, level: int, what: str) -> None:
        """Ask this before you propose a command, or send a message, that not every version knows.

        `what` begins the sentence: "deleting a poll". Raises `NeedsLevel`, which names the nodes that are too old, or
        `NotReady` if none is, and the level is about to rise. The levels are in `entry.py`.
        """
        ...

    def log_point(self, index: int | None = None) -> LogPoint:
        """The entry that was applied last, or the committed one at `index`: the same on all nodes of the cluster.

        Raises `NotReady`, `Stale` if this node has not applied up to there, or `Gone` if it no longer holds the entry.
        """
        ...

    def log_page(self, first: int | None, entries_max: int, bytes_max: int) -> LogPage:
        """Applied entries from `first` on, or from the first one that is held; at least one, if there is one.

        Raises `NotReady`, or `Gone` if this node no longer holds that entry.
        """
        ...

    def now_ms(self) -> int:
        """The time that a leader stamps on an entry (Unix, ms): what a majority of the members' clocks have reached."""
        ...

    def propose(self, entry: bytes) -> asyncio.Future[Applied]:
        """Append `entry` to the log if this node leads.

        The future ends with what applying the entry gave, or raises `NoLeader`, `NotReady`, `Overloaded` or `TooLarge`
        (surely not appended), or `OutcomeUnknown` (the entry may still be committed). The future has no deadline: a
        leader that loses its majority steps down, and its proposals stay open until the entries that a later leader
        committed reach it, or until the replica stops. So callers bound their wait themselves.
        """
        ...

    async def barrier(self) -> int:
        """Wait until everything that was committed before this call is applied here. Returns the version then.

        Only the leader can do this. Calls that wait together share one round. Raises `NoLeader` or `NotReady`.
        """
        ...

    def call_leader(
        self, leader: str, kind: str, request: bytes, *, timeout_s: float | None = None
    ) -> Awaitable[bytes]:
        """Send a request to the leader and wait for its answer, for `timeout_s` or else ten seconds.

        If this node does not hear the leader, a peer passes it on (`leader_via`). Raises `NoLeader`, `Overloaded` or
        `TooLarge` if the request surely did not reach the leader, and `OutcomeUnknown` if a connection broke after it
        may have been sent, if no answer came in time, or if the asked peer is silent and another node leads now, or
        another way to the leader is known. A `QuorateError` that the leader's handler raised is raised here as the same
        class.
        """
        ...

    def serve(self, kind: str, handler: PeerHandler) -> None:
        """Answer peers' calls of this kind with `handler`. There is one handler a kind, set before `start`."""
        ...

    def on_applied(self, listener: Callable[[Applied], None]) -> None:
        """Call `listener` on the loop after each entry that is applied here.

        A listener must be quick. If it raises, the error is logged.
        """
        ...

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        """Call `listener` with `is_leader` whenever that changes."""
        ...

    async def transfer_leadership(self) -> bool:
        """Hand leadership to the follower that is most caught up. False if no follower took it in time."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Stop. Every open proposal has been answered when this returns. Idempotent."""
        ...
