"""Calls to a leader that this node does not hear: a peer that hears it passes them on.

A call goes over at most two hops. It names the leader that it is for, the term in which that leader may take it, and
the nodes that it has left, so that it cannot go round. The answer comes back the same way. It means what that of a
direct call means:

- An error that is definite ("surely not") comes from a node that did nothing with the call: the relay did not pass it
  on, or the leader did not take it. A relay passes a call on once. It never keeps one for later and never tries again.
- Once the relay has passed it on, only the leader's own answer is definite. A connection that breaks, at either hop, or
  a leader that falls silent makes it unknown.
- A relay passes on a bounded number of calls at a time, and refuses more for sure.
- The leader takes it only in the term that it names. So a call that was on its way while another node led is refused by
  a leader that was elected again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Annotated, Protocol

import msgspec

from quorate.cluster.raft.messages import MALFORMED, Count
from quorate.cluster.raft.told_leader import Heard, Way
from quorate.cluster.replica import PeerHandler
from quorate.errors import Invalid, NoLeader, Overloaded

KIND = "relay"
HOPS_MAX = 2
CALL_S = 10.0  # as long as a direct call
TIMEOUT_MS_MAX = 600_000
# What a relay has passed on and waits for: its own clients need the leader, too. Calls are counted for each kind alone,
# so that readers who wait long keep no votes from passing.
PASSED_MAX = 256
PASSED_BYTES_MAX = 16 * 1024 * 1024


class Passer(Protocol):
    """The transport, as far as relaying needs it."""

    def call(
        self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None
    ) -> Coroutine[None, None, bytes]: ...

    def serve(self, kind: str, handler: PeerHandler) -> None: ...

    async def handle(self, peer: str, kind: str, body: bytes) -> bytes:
        """Have this node's own handler take a call that `peer` passed on."""
        ...


class _Relayed(msgspec.Struct, array_like=True):
    kind: str
    leader: str
    term: Count
    path: Annotated[list[str], msgspec.Meta(min_length=1, max_length=HOPS_MAX)]  # the nodes that it has left, in order
    timeout_ms: Annotated[int, msgspec.Meta(ge=0, le=TIMEOUT_MS_MAX)]
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Relayed).decode


class Relay:
    """`hears` is the leader that this node hears itself, or that it is, with its term."""

    def __init__(self, node_id: str, transport: Passer, hears: Callable[[], Heard | None]) -> None:
        self._node_id, self._transport, self._hears = node_id, transport, hears
        self._passed: Counter[str] = Counter()  # by kind: calls that are passed on and not answered
        self._passed_bytes = 0
        transport.serve(KIND, self._serve)

    def call(self, way: Way, kind: str, body: bytes, timeout_s: float | None) -> Coroutine[None, None, bytes]:
        """Call the leader at the end of this way. It ends as a direct call does."""
        timeout_s = CALL_S if timeout_s is None else timeout_s
        relayed = _Relayed(kind, way.leader, way.term, [self._node_id], int(timeout_s * 1000), body)
        return self._transport.call(way.via, KIND, _encode(relayed), timeout_s=timeout_s)

    async def _serve(self, peer: str, data: bytes) -> bytes:
        """Take a call as the leader that it is for, or pass it on to that leader, or refuse it for sure."""
        try:
            call = _decode(data)
        except MALFORMED as error:
            raise Invalid(f"{peer} relays what cannot be read ({error})") from None
        if call.path[-1] != peer or self._node_id in call.path or call.kind == KIND:
            raise Invalid(f"{peer} relays a {call.kind} call that came by {call.path} to {self._node_id}")
        heard = self._hears()
        if heard is None or (heard.leader, heard.term) != (call.leader, call.term):
            does_not = "does not lead" if call.leader == self._node_id else f"does not hear {call.leader} lead"
            raise NoLeader(f"{self._node_id} {does_not} term {call.term} now")
        if call.leader == self._node_id:
            # It counts as the call of the peer that passed it on: that one alone is surely who it says.
            return await self._transport.handle(peer, call.kind, call.body)
        if len(call.path) == HOPS_MAX:
            raise NoLeader(f"{self._node_id} does not lead now, and a call has {HOPS_MAX} hops at most")
        return await self._pass_on(call)

    async def _pass_on(self, call: _Relayed) -> bytes:
        size = len(call.body)
        if self._passed[call.kind] >= PASSED_MAX or self._passed_bytes + size > PASSED_BYTES_MAX:
            raise Overloaded(f"{self._node_id} passes on too much to {call.leader} already; try again in a moment")
        call.path.append(self._node_id)
        self._passed[call.kind] += 1
        self._passed_bytes += size
        try:
            return await self._transport.call(call.leader, KIND, _encode(call), timeout_s=call.timeout_ms / 1000)
        finally:
            self._passed[call.kind] -= 1
            self._passed_bytes -= size
