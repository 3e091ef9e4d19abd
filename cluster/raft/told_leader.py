"""Who leads, by the word of this node's peers: for a node that the leader does not reach.

A link can be cut while both of its ends are well: a ring, a bridge. The leader goes on with its majority, and the node
that is cut off from it hears it no more. Such a node asks its peers whom they hear. What they tell is a way to the
leader for requests (`relay.py`), and nothing else: it gives no ballot, keeps no election from happening, and copies no
entry.

- Asking begins half an election timeout T after the leader was lost: an ordinary election mostly ends before that.
- A peer tells a leader that it is or hears itself, never one that it was told of: a way has two hops at most.
- Belief ends with silence here, too: when the leader, as it was told, was last heard T ago. The time that the answer
  took counts as silence. A leader that the peer has not heard for T/2 is no news, because it is probably lost to all.
- Of several leaders, the one with the latest term counts. Of several ways to it, the present one while it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from quorate.cluster.raft.messages import MALFORMED, Count
from quorate.cluster.replica import PeerHandler
from quorate.errors import QuorateError
from quorate.host_port import is_url

KIND = "who-leads"
ASK_AFTER, ASK_EVERY, NEWS = 0.5, 0.2, 0.5  # in election timeouts
ANSWER_S = 1.0


class Peers(Protocol):
    """The transport, as far as asking needs it."""

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes: ...

    def serve(self, kind: str, handler: PeerHandler) -> None: ...

    def is_open(self, peer: str) -> bool: ...


class Heard(NamedTuple):
    """A leader that a node hears itself, or that it is."""

    leader: str
    term: int
    silent_s: float
    http: str = ""  # its HTTP address, as the leader itself has told it


class Way(NamedTuple):
    """A leader that this node does not hear, and the peer that does."""

    leader: str
    term: int
    via: str
    heard_s: float  # the leader spoke then, or later; the engine's clock
    http: str = ""


class _Told(msgspec.Struct, array_like=True):
    """The answer. Without a leader, the peer hears none."""

    leader: str | None = None
    term: Count = 0
    silent_ms: Count = 0
    http: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Told).decode


class ToldLeader:
    """Ticked by the replica. `hears` is what this node can tell, `peers` are those that it may ask."""

    def __init__(
        self,
        node_id: str,
        election_s: float,
        transport: Peers,
        *,
        hears: Callable[[], Heard | None],
        peers: Callable[[], Iterable[str]],
    ) -> None:
        self._node_id, self._election_s, self._transport = node_id, election_s, transport
        self._hears, self._peers = hears, peers
        self._lost_s: float | None = None  # since when this node hears no leader
        self._ask_at_s = 0.0
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._ways: dict[str, Way] = {}  # the newest word of each peer
        self.way: Way | None = None
        transport.serve(KIND, self._tell)

    async def _tell(self, peer: str, body: bytes) -> bytes:
        heard = self._hears()
        if heard is None:
            return _encode(_Told())
        return _encode(_Told(heard.leader, heard.term, int(heard.silent_s * 1000), heard.http))

    def tick(self, now_s: float, *, needed: bool) -> None:
        """`needed`: this node hears no leader, and all nodes know the question."""
        if not needed:
            self.stop()
            return
        if self._lost_s is None:
            self._lost_s = self._ask_at_s = now_s
            self._ask_at_s += ASK_AFTER * self._election_s
        if now_s >= self._ask_at_s:
            self._ask_at_s = now_s + ASK_EVERY * self._election_s
            for peer in sorted(set(self._peers()) - {self._node_id, *self._asking}):
                if self._transport.is_open(peer):
                    self._asking[peer] = asyncio.get_running_loop().create_task(self._ask(peer, now_s))
                    self._asking[peer].add_done_callback(partial(self._asked, peer))
        self._choose(now_s)

    async def _ask(self, peer: str, now_s: float) -> None:
        try:
            told = _decode(await self._transport.call(peer, KIND, b"", timeout_s=ANSWER_S))
        except (QuorateError, *MALFORMED):  # what it told before ages
            return
        if told.leader in (None, peer, self._node_id):
            self._ways.pop(peer, None)
        elif told.silent_ms < NEWS * self._election_s * 1000:
            assert told.leader is not None
            http = told.http if is_url(told.http) else ""
            self._ways[peer] = Way(told.leader, told.term, peer, now_s - told.silent_ms / 1000, http)

    def _asked(self, peer: str, done: asyncio.Task[None]) -> None:
        if self._asking.get(peer) is done:
            del self._asking[peer]

    def _choose(self, now_s: float) -> None:
        fresh = [
            way
            for way in self._ways.values()
            if now_s - way.heard_s < self._election_s and self._transport.is_open(way.via)
        ]
        present = None if self.way is None else self.way.via
        self.way = max(fresh, key=lambda way: (way.term, way.via == present, way.heard_s), default=None)

    def stop(self) -> None:
        """This node hears a leader, or stops. Idempotent."""
        if self._lost_s is None:
            return
        self._lost_s, self.way = None, None
        for task in self._asking.values():
            task.cancel()
        self._asking, self._ways = {}, {}
