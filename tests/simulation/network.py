"""The network between simulated replicas: delays, losses, late and repeated messages, cuts and broken connections.

It is harsher than TCP on purpose, because Raft must not depend on order. It keeps the promise of `PeerTransport`: a
call ends in an answer, in an error that says it surely was not sent, or in `OutcomeUnknown`; and it is never repeated,
for a batch that was refused for sure must not come a second time and be counted (seed 50266 of 26 November 2026).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, cast

from quorate.cluster.raft import messages
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.transport import Listener
from quorate.cluster.replica import PeerHandler
from quorate.errors import NoLeader, OutcomeUnknown, QuorateError
from tests.simulation.deaths import ListenerOfNode, NodeDied, as_node

DELAY_S = (0.0005, 0.004)
GRID_S = 0.001  # messages arrive at such moments only: a node that gets several at once ticks once
CALL_S = 3.0
DIAL_S = 0.5


class Network:
    def __init__(self, loop: asyncio.AbstractEventLoop, rng: random.Random) -> None:
        self.loop, self.rng = loop, rng
        self.ends: dict[str, SimTransport] = {}
        self.cut: set[frozenset[str]] = set()
        self.loss: dict[tuple[str, str], float] = {}
        self.late = 0.0  # share of messages that come up to a second later, out of order
        self.repeated = 0.0
        self.messages = 0
        self._dialling: asyncio.TimerHandle | None = None

    def joined(self, a: str, b: str) -> bool:
        return a in self.ends and b in self.ends and frozenset((a, b)) not in self.cut

    def settle(self) -> None:
        """Tell every node which of its connections changed. Nodes that want a connection dial."""
        for name, end in list(self.ends.items()):
            for peer in sorted({*self.ends, *end.connection} - {name}):
                if not self.joined(name, peer):
                    end.disconnect(peer)
                elif end.knows_way_to(self.ends[peer]) or self.ends[peer].knows_way_to(end):
                    end.connect(peer)

    def dial_again(self) -> None:
        """A node was refused, and tries again later."""
        if self._dialling is None or self._dialling.when() <= self.loop.time():
            self._dialling = self.loop.call_later(DIAL_S, self.settle)

    def flap(self, a: str, b: str) -> None:
        """Break a connection and make it again: messages on their way are lost."""
        pair = frozenset((a, b))
        if pair not in self.cut:
            self.cut.add(pair)
            self.settle()
            self.cut.discard(pair)
            self.settle()

    def carry(self, source: str, target: str, deliver: Any, *, once: bool = False) -> None:
        """Deliver a message later: maybe late, maybe twice (unless `once`), maybe never; but never over another
        connection."""
        self.messages += 1
        if target not in self.ends or self.rng.random() < self.loss.get((source, target), 0.0):
            return
        here, there = self.ends[source], self.ends[target]
        connection = here.connection[target], there.connection.get(source)
        twice = self.rng.random() < self.repeated and not once
        for _ in range(2 if twice else 1):
            delay_s = self.rng.uniform(*DELAY_S)
            if self.rng.random() < self.late:
                delay_s += self.rng.random()

            def arrive() -> None:
                if (here.connection.get(target), there.connection.get(source)) == connection and None not in connection:
                    deliver(there)

            self.loop.call_at(math.ceil((self.loop.time() + delay_s) / GRID_S) * GRID_S, arrive)


class SimTransport:
    """Replaces `PeerTransport`."""

    def __init__(self, network: Network, node_id: str, listener: Listener) -> None:
        self.network, self.node_id = network, node_id
        self.listener = cast(Listener, ListenerOfNode(node_id, listener))
        self.address = ""
        self.wanted: dict[str, Sequence[str]] = {}  # peer -> the addresses at which it is looked for
        self.connection: dict[str, int] = {}  # peer -> serial number of the connection
        self.handlers: dict[str, PeerHandler] = {}
        self.refusals = 0
        self.flushes = contextlib.nullcontext()
        self.refused_by: dict[str, str] = {}  # the peers that refused this node, and why
        self._serial = 0
        self._calls: dict[asyncio.Future[bytes], str] = {}

    async def start(self, addresses: Sequence[tuple[str, int]]) -> int:
        self.address = f"{addresses[0][0]}:{addresses[0][1]}"
        self.network.ends[self.node_id] = self
        return 0

    def set_members(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self.wanted = dict(addresses)
        self.network.loop.call_soon(self.network.settle)

    def knows_way_to(self, peer: SimTransport) -> bool:
        return peer.address in self.wanted.get(peer.node_id, ())

    async def ask_who_is_at(self, address: str, peer: str) -> Introduction:
        await asyncio.sleep(self.network.rng.uniform(*DELAY_S))
        there = self.network.ends.get(peer)
        if there is None or there.address != address or not (there is self or self.network.joined(self.node_id, peer)):
            raise OSError("nobody")
        return there.listener.introduction()

    async def stop(self) -> None:
        self.die()

    def die(self) -> None:
        self.network.ends.pop(self.node_id, None)
        self.connection.clear()
        self._break(set(self._calls.values()))
        self.network.settle()

    def connect(self, peer: str) -> None:
        """Connect both ends at once, if each accepts the other. Both have heard the other one's introduction then."""
        there = self.network.ends[peer]
        new = [(one, other) for one, other in ((self, there), (there, self)) if other.node_id not in one.connection]
        said = [other.listener.introduction() for _, other in new]
        refusals = [
            one.listener.opened(other.node_id, introduction)
            for (one, other), introduction in zip(new, said, strict=True)
        ]
        for (one, other), refusal in zip(new, refusals, strict=True):
            if refusal is not None:
                self._hang_up(one, other, refusal)
                return
        for one, other in new:
            one._serial += 1
            one.connection[other.node_id] = one._serial
        for one, other in new:
            if other.node_id in one.connection:
                one.listener.connected(other.node_id)

    def refuse(self, peer: str, why: str) -> None:
        there = self.network.ends.get(peer)
        if there is not None:
            self._hang_up(self, there, why)

    def _hang_up(self, one: SimTransport, other: SimTransport, why: str) -> None:
        one.disconnect(other.node_id)
        other.disconnect(one.node_id)
        other.refused_by[one.node_id] = why
        other.listener.refused(one.node_id, why)
        self.network.dial_again()

    def disconnect(self, peer: str) -> None:
        if self.connection.pop(peer, None) is not None:
            self._break({peer})
            self.listener.disconnected(peer)

    def _break(self, peers: set[str]) -> None:
        for answer in [answer for answer, peer in self._calls.items() if peer in peers]:
            if not answer.done():
                answer.set_exception(OutcomeUnknown("the link broke"))

    def end_calls(self, peer: str, within_s: float, why: str) -> None:
        for answer in [answer for answer, asked in self._calls.items() if asked == peer]:
            self.network.loop.call_later(within_s, _answer, answer, OutcomeUnknown(why))

    def heard_within(self, seconds: float) -> set[str]:
        return set(self.connection)

    def reintroduce(self, peer: str) -> None:
        if peer in self.connection:
            introduction = self.listener.introduction()
            self.network.carry(self.node_id, peer, lambda there: there.introduced_again(self, introduction), once=True)

    def introduced_again(self, other: SimTransport, introduction: Introduction) -> None:
        refusal = self.listener.opened(other.node_id, introduction)
        if refusal is not None:
            self._hang_up(self, other, refusal)

    def certificate_of(self, peer: str) -> str:
        return ""

    def is_open(self, peer: str) -> bool:
        return peer in self.connection

    def backlog(self, peer: str) -> int:
        return 0

    def send(self, peer: str, message: messages.Message) -> bool:
        if peer not in self.connection:
            return False
        data = messages.encode(message)  # a copy, as the wire makes one
        self.network.carry(
            self.node_id, peer, lambda there: there.listener.received(self.node_id, messages.decode(data))
        )
        return True

    def serve(self, kind: str, handler: PeerHandler) -> None:
        self.handlers[kind] = handler

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes:
        if peer not in self.connection:
            raise NoLeader(f"no connection to {peer}")
        answer: asyncio.Future[bytes] = self.network.loop.create_future()
        self._calls[answer] = peer
        self.network.carry(self.node_id, peer, lambda there: there.asked(self.node_id, kind, body, answer), once=True)
        try:
            async with asyncio.timeout(CALL_S if timeout_s is None else timeout_s):
                return await answer
        except TimeoutError:
            raise OutcomeUnknown("no answer") from None
        finally:
            self._calls.pop(answer, None)

    begin_call = call

    async def handle(self, peer: str, kind: str, body: bytes) -> bytes:
        return await self.handlers[kind](peer, body)

    def asked(self, peer: str, kind: str, body: bytes, answer: asyncio.Future[bytes]) -> None:
        async def serve() -> None:
            result: bytes | QuorateError
            try:
                with as_node(self.node_id):
                    result = await self.handle(peer, kind, body)
            except QuorateError as error:
                result = error
            except NodeDied:
                return
            if peer in self.connection and self.network.ends.get(self.node_id) is self:
                self.network.carry(self.node_id, peer, lambda there: _answer(answer, result))

        self.network.loop.create_task(serve())

    def status(self) -> dict[str, Any]:
        return {}


def _answer(answer: asyncio.Future[bytes], result: bytes | QuorateError) -> None:
    if not answer.done():
        if isinstance(result, QuorateError):
            answer.set_exception(result)
        else:
            answer.set_result(result)
