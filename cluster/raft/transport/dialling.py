"""Whom a node dials, where, and when: each member that is not connected, again and again.

Of two nodes the one with the greater id dials. If it does not, the other one dials after a while: a new node may not
know the leader that will tell it the members. A peer may have several addresses. They are dialled in turn, with a pause
that grows, and where the last dial succeeded, the next one begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from quorate.cluster.raft.transport.connection import PeerConnection, Target
from quorate.cluster.raft.transport.inquiry import resolve

REDIAL_S = (0.05, 0.5)  # the first pause between two dials, and the longest
DIAL_S = 3.0
FIRST_DIAL_WAIT_S = 2.0  # how long this node waits for a peer with a greater id to dial


class DialOwner(Protocol):
    """What dialling asks of the transport, which holds the connections."""

    def is_open(self, peer: str) -> bool: ...

    def is_in_handshake(self, connection: PeerConnection | None) -> bool: ...

    async def connect(self, target: Target, host: str, port: int) -> PeerConnection:
        """Raises OSError."""
        ...


class Dialling:
    """Runs one task for each member. `tell_unreached` is called when nobody answers: with the peer, and all tried."""

    def __init__(self, node_id: str, owner: DialOwner, tell_unreached: Callable[[str, str], None]) -> None:
        self._node_id, self._owner, self._tell_unreached = node_id, owner, tell_unreached
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._turns: dict[str, int] = {}  # peer -> dials that failed: says which of its addresses is the next
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped = False
        self.unreached: dict[str, dict[str, str]] = {}  # peer -> address -> why the last dial there failed

    @property
    def members(self) -> Collection[str]:
        """The peers to be connected with."""
        return self._addresses.keys()

    def address(self, peer: str) -> str:
        """Where this member is dialled next."""
        addresses = self._addresses[peer]
        return addresses[self._turns[peer] % len(addresses)]

    def set_members(self, addresses: Mapping[str, Sequence[str]]) -> None:
        """See `PeerTransport.set_members`."""
        for peer in addresses:
            self._keep_turn(peer, tuple(addresses[peer]))
        self._addresses = {peer: tuple(each) for peer, each in addresses.items()}
        for peer in [peer for peer in self._tasks if peer not in addresses]:
            self._tasks.pop(peer).cancel()
        for peer in addresses:
            if peer not in self._tasks and not self._stopped:
                self._tasks[peer] = asyncio.get_running_loop().create_task(self._dial(peer))

    def reached(self, peer: str) -> None:
        """The peer is connected: what failed before is of no more interest."""
        self.unreached.pop(peer, None)

    def stop(self) -> list[asyncio.Task[None]]:
        """Dial no more. Returns the tasks that are left to end."""
        self._stopped = True
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        return tasks

    def _keep_turn(self, peer: str, addresses: tuple[str, ...]) -> None:
        """Its list of addresses changes: go on with the one whose turn it is, if it is still there."""
        before, turn = self._addresses.get(peer, ()), self._turns.get(peer, 0)
        if before != addresses:
            now = before[turn % len(before)] if before else ""
            self._turns[peer] = addresses.index(now) if now in addresses else 0
            self.unreached.pop(peer, None)

    async def _dial(self, peer: str) -> None:
        connection, pause_s = None, REDIAL_S[0]
        while not self._stopped:
            if peer > self._node_id and not self._owner.is_open(peer) and self._begins_a_round(peer):
                await asyncio.sleep(FIRST_DIAL_WAIT_S)
            if self._owner.is_open(peer):
                pause_s = REDIAL_S[0]
            elif not self._owner.is_in_handshake(connection):
                if connection is not None and not connection.accepted:
                    self._turns[peer] += 1
                connection = await self._dial_next(peer)
                pause_s = min(pause_s * 1.5, REDIAL_S[1])
            await asyncio.sleep(pause_s)

    def _begins_a_round(self, peer: str) -> bool:
        """Whether each of its addresses was dialled equally often."""
        return self._turns[peer] % len(self._addresses[peer]) == 0

    async def _dial_next(self, peer: str) -> PeerConnection | None:
        """Dial the address whose turn it is. None if nobody answers there."""
        addresses, turn = self._addresses[peer], self._turns[peer]
        address = self.address(peer)
        try:
            async with asyncio.timeout(DIAL_S):
                found = await resolve(address)
                return await self._owner.connect(Target(peer, address), *found[turn // len(addresses) % len(found)])
        except (OSError, TimeoutError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else "") or str(error) or "no answer in time"
            unreached = self.unreached.setdefault(peer, {})
            unreached[address] = why
            self._tell_unreached(peer, ", nor at ".join(f"{at} ({reason})" for at, reason in unreached.items()))
            self._turns[peer] += 1
            return None
