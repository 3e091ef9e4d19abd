"""All connections of a node to its peers: it listens, has the members dialled, and keeps the connections.

Which members are dialled, and where, is in `dialling.py`; there is one connection to each, and the newest counts. A
silent connection is closed. Calls between nodes are in `calls.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from quorate.cluster.raft import messages
from quorate.cluster.raft.status import ConnectionStatus
from quorate.cluster.raft.transport.calls import PING, Calls
from quorate.cluster.raft.transport.connection import PeerConnection, Target
from quorate.cluster.raft.transport.dialling import Dialling
from quorate.cluster.raft.transport.flushes import Flushes
from quorate.cluster.raft.transport.handshake.credentials import Credentials
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.inquiry import ask_who_is_at
from quorate.cluster.raft.transport.link_log import LinkLog
from quorate.cluster.raft.transport.paced_tls import HANDSHAKES_AT_ONCE, HANDSHAKES_PER_S, PacedTls
from quorate.cluster.raft.transport.streams import CALLS, RAFT
from quorate.cluster.replica import PeerHandler
from quorate.listening import Purpose, listen_on, shown
from quorate.pace import Pace

PURPOSE = Purpose("listen for other nodes", "raft.listen", backlog=128)
HANDSHAKES_MAX = 32
REASON_MAX = 1_000  # characters: what the other end says of itself may stand in it
PING_S = 1.0
SILENCE_S = 4.0
ASLEEP_S = 1.5  # a loop that does nothing for so long was paused, or is as good as that

log = logging.getLogger(__name__)


class Listener(Protocol):
    """What the transport asks and tells its replica."""

    def introduction(self) -> Introduction: ...

    def opened(self, peer: str, introduction: Introduction, replaces: Introduction | None = None) -> str | None:
        """A peer has proved that it has the key, and introduced itself: a reason to refuse it, or None.

        `replaces` is the introduction of the open connection to a peer of this id, if this is another connection.
        """
        ...

    def refuses_certificate(self, fingerprint: str) -> str | None:
        """The reason to refuse whoever has this certificate, or None."""
        ...

    def connected(self, peer: str) -> None: ...

    def disconnected(self, peer: str) -> None: ...

    def refused(self, peer: str, why: str) -> None:
        """A peer that this node has accepted refuses this node."""
        ...

    def received(self, peer: str, message: messages.Message) -> None: ...

    def progress(self, peer: str) -> None:
        """Part of a long message came from the peer."""
        ...


class PeerTransport:
    """Runs on the node's loop. `start` listens and dials, `stop` closes everything. The newest connection counts."""

    def __init__(self, node_id: str, listener: Listener, credentials: Credentials) -> None:
        self.node_id, self.credentials, self.flushes = node_id, credentials, Flushes()
        self._certificates: dict[str, str] = {}  # peer -> fingerprint of the one that it showed last
        self._turns: Counter[str] = Counter()  # peer -> which way to prove itself this node dials it with
        self._listener = listener
        self._open: dict[str, PeerConnection] = {}
        self._bytes_in: Counter[str] = Counter()  # peer -> what came on its connections that have ended
        self._bytes_out: Counter[str] = Counter()
        self._handshaking: dict[PeerConnection, None] = {}  # oldest first
        self._refused: dict[PeerConnection, None] = {}  # those whose other end is still told why, oldest first
        self._told = LinkLog()
        self._dialling = Dialling(node_id, self, self._told.unreached)
        self._calls = Calls()
        self._pace: Pace | None = None  # of the handshakes of TLS that others begin; None before the start
        self.listening: list[str] = []  # the addresses that were bound, host:port
        self._servers: list[asyncio.Server] = []  # one a socket
        self._check_timer: asyncio.TimerHandle | None = None
        self._checked_s = float("inf")  # when this node surely was awake last; not before the start
        self._woke_s = float("-inf")
        self._stopped = False
        self.refusals = 0

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self, addresses: Sequence[tuple[str, int]]) -> int:
        """Listen on all addresses. Returns the port of the first (port 0 takes a free one). Raises `ConfigError`."""
        sockets = await listen_on(addresses, PURPOSE)
        self._pace = Pace(HANDSHAKES_PER_S, HANDSHAKES_AT_ONCE)
        if self.credentials.tls is not None:
            await self.credentials.tls.start()
        self.listening = [shown(sock) for sock in sockets]
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._servers.append(await loop.create_server(self._accept, sock=sock, backlog=PURPOSE.backlog))
        self._check_connections()
        return int(sockets[0].getsockname()[1])

    def set_members(self, addresses: Mapping[str, Sequence[str]]) -> None:
        """The peers to be connected with: node id -> its addresses, host:port, the likeliest first; without this node.

        Where the last dial succeeded, the next one begins.
        """
        self._dialling.set_members(addresses)

    def refuse(self, peer: str, why: str) -> None:
        """Tell a connected peer why this node refuses it, and close the connection."""
        if peer in self._open:
            self._open[peer].refuse(why)

    async def stop(self) -> None:
        self._stopped = True
        if self._check_timer is not None:
            self._check_timer.cancel()
        for server in self._servers:
            server.close()
        if self._pace is not None:
            self._pace.close()
        if self.credentials.tls is not None:
            await self.credentials.tls.stop()
        dials, calls = self._dialling.stop(), self._calls.tasks()
        for call in calls:
            call.cancel()
        for connection in [*self._open.values(), *self._handshaking, *self._refused]:
            connection.close("this node stops")
        await asyncio.gather(*dials, *calls, return_exceptions=True)

    # ---- connections ------------------------------------------------------------------------------------------------

    def _accept(self) -> asyncio.Protocol:
        """Another end has dialled."""
        connection = self._new_connection()
        if self.credentials.tls is None or self._pace is None:
            return connection
        return PacedTls(connection, self._pace)

    def _new_connection(self, target: Target | None = None) -> PeerConnection:
        """Make a connection. If too many wait for their handshake, close the oldest of the host that has most: peers
        need one round trip, and who has many is no peer."""
        turn = 0 if target is None else self._turns[target.peer]
        connection = PeerConnection(self, target, turn=turn)
        self._handshaking[connection] = None
        waiting = [each for each in self._handshaking if each.target is None]
        if len(waiting) > HANDSHAKES_MAX:
            hosts = Counter(each.host for each in waiting)
            most = max(hosts.values())
            oldest = next(each for each in waiting if hosts[each.host] == most)
            oldest.close("too many connections that have not introduced themselves")
            self._handshaking.pop(oldest)
        return connection

    async def connect(self, target: Target, host: str, port: int) -> PeerConnection:
        """Dial, for `Dialling`. Raises OSError."""
        connection = self._new_connection(target)
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, host, port)
        except BaseException:
            self._handshaking.pop(connection, None)  # it was never made, so `closed` will not follow
            raise
        return connection

    async def ask_who_is_at(self, address: str, peer: str) -> Introduction:
        """See `inquiry.py`."""
        return await ask_who_is_at(address, peer, self.node_id, self.credentials)

    def introduction(self) -> Introduction:
        return self._listener.introduction()

    def opened(self, connection: PeerConnection) -> str | None:
        peer = connection.peer
        assert peer is not None
        assert connection.introduction is not None
        self._handshaking.pop(connection, None)
        refusal = "it has this node's own id" if peer == self.node_id else None
        before = self._open.get(peer)
        replaces = before.introduction if before not in (None, connection) else None
        refusal = refusal or self._listener.opened(peer, connection.introduction, replaces)
        if refusal is None and connection.fingerprint:
            refusal = self._listener.refuses_certificate(connection.fingerprint)
        if refusal is None and before is not connection:
            self._certificates[peer] = connection.fingerprint
            self._open[peer] = connection
            connection.accept()
            if before is not None:
                before.close("a newer connection took its place")
                self._lost(peer, before)
            self._dialling.reached(peer)
            self._told.opened(peer, connection, replaces_another=before is not None)
            self._listener.connected(peer)
        return None if refusal is None else refusal[:REASON_MAX]

    def refused(self, connection: PeerConnection, why: str) -> None:
        peer = connection.peer or connection.claimed_id
        self._told.refused_by(peer, why, host=connection.host, is_member=peer in self._dialling.members)
        if connection.accepted and connection.peer is not None:  # the word of a stranger says nothing
            self._listener.refused(connection.peer, why)

    def closed(self, connection: PeerConnection, why: str) -> None:
        self._handshaking.pop(connection, None)
        if connection.refusing:
            self._keep_refused(connection)
        if not connection.accepted and not connection.only_asked:
            self.refusals += 1
            if self._has_another_way(connection):
                return
            if not connection.was_refused and not self._stopped and not self._was_asleep():
                self._tell_refused(connection, why)
        if connection.peer is None or self._open.get(connection.peer) is not connection:
            return  # it did not introduce itself, or a newer connection took its place
        del self._open[connection.peer]
        if not self._stopped:
            self._told.lost(connection.peer, connection, why)
        self._lost(connection.peer, connection)

    def _has_another_way(self, connection: PeerConnection) -> bool:
        """The peer did not know the way by which this node dialled it: whether there is one left to be tried."""
        target = connection.target
        if target is None or connection.peer is not None or connection.was_refused:
            return False
        self._turns[target.peer] += 1
        return self._turns[target.peer] % self.credentials.ways != 0

    def _tell_refused(self, connection: PeerConnection, why: str) -> None:
        claimed, target = connection.claimed_id, connection.target
        if target is not None and not claimed:  # it answered with nothing that names it: a paused process, perhaps
            self._told.unreached(target.peer, f"{target.address} ({why})")
        else:
            member, is_open = claimed in self._dialling.members, claimed in self._open
            self._told.refused(connection, why, is_member=member, is_open=is_open)

    def _was_asleep(self) -> bool:
        """Whether this node was paused a moment ago. Then handshakes failed by that: nothing is wrong with a peer."""
        now_s = asyncio.get_running_loop().time()
        return now_s - self._checked_s > ASLEEP_S or now_s - self._woke_s < PING_S

    def gone(self, connection: PeerConnection) -> None:
        self._refused.pop(connection, None)

    def _keep_refused(self, connection: PeerConnection) -> None:
        """Keep the connection until its other end has read why. Too many of them cost descriptors: close the oldest."""
        self._refused[connection] = None
        if len(self._refused) > HANDSHAKES_MAX:
            oldest = next(iter(self._refused))
            del self._refused[oldest]
            oldest.close("too many connections that are refused")

    def _lost(self, peer: str, connection: PeerConnection) -> None:
        self._bytes_in[peer] += connection.bytes_in
        self._bytes_out[peer] += connection.bytes_out
        self._calls.fail(connection)
        self._listener.disconnected(peer)

    def _check_connections(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if now_s - self._checked_s > ASLEEP_S:
            self._woke_s = now_s
        self._checked_s = now_s
        self._told.check()
        for connection in list(self._open.values()):
            # While this loop was paused, it heard nobody: uvloop comes here before it reads what waits.
            if now_s - max(connection.heard_s, self._woke_s) > SILENCE_S:
                connection.close(f"silent for {SILENCE_S:.0f} s")
            elif now_s - connection.sent_s > PING_S:
                connection.send(CALLS, PING)
        self._check_timer = loop.call_later(PING_S / 2, self._check_connections)

    # ---- messages ---------------------------------------------------------------------------------------------------

    def send(self, peer: str, message: messages.Message) -> bool:
        """Queue a Raft message; False if there is no connection."""
        connection = self._open.get(peer)
        return connection is not None and connection.send(RAFT, messages.encode(message))

    def backlog(self, peer: str) -> int:
        connection = self._open.get(peer)
        return 0 if connection is None else connection.backlog

    def reintroduce(self, peer: str) -> None:
        """Send the peer this node's introduction again, because something in it has changed."""
        connection = self._open.get(peer)
        if connection is not None:
            connection.introduce()

    def certificate_of(self, peer: str) -> str:
        """The fingerprint of the certificate that the peer showed last; "" without TLS, or if it never came in."""
        return self._certificates.get(peer, "")

    def is_open(self, peer: str) -> bool:
        return peer in self._open

    def is_in_handshake(self, connection: PeerConnection | None) -> bool:
        return connection in self._handshaking

    def progress(self, connection: PeerConnection) -> None:
        if connection.peer is not None:
            self._listener.progress(connection.peer)

    def received(self, connection: PeerConnection, stream: int, message: bytes) -> None:
        assert connection.peer is not None
        if self._open.get(connection.peer) is not connection:
            return
        if stream == RAFT:
            self._listener.received(connection.peer, messages.decode(message))
        else:
            self._calls.received(connection, message)

    # ---- calls ------------------------------------------------------------------------------------------------------

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes:
        """Call a connected peer. It ends as `Replica.call_leader` says."""
        return await self.begin_call(peer, kind, body, timeout_s=timeout_s)

    def begin_call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> Awaitable[bytes]:
        """As `call`, which begins at once: no task is needed for it."""
        return self._calls.call(self._open.get(peer), peer, kind, body, timeout_s)

    def end_calls(self, peer: str, within_s: float, why: str) -> None:
        """End the calls to the peer that are open now: as unknown, unless they are answered `within_s`."""
        connection = self._open.get(peer)
        if connection is not None:
            self._calls.end(connection, within_s, why)

    def heard_within(self, seconds: float) -> set[str]:
        """The connected peers that sent anything in the last `seconds`."""
        since_s = asyncio.get_running_loop().time() - seconds
        return {peer for peer, connection in self._open.items() if connection.heard_s >= since_s}

    def serve(self, kind: str, handler: PeerHandler) -> None:
        self._calls.add_handler(kind, handler)

    async def handle(self, peer: str, kind: str, body: bytes) -> bytes:
        """Have this node's own handler take a call that `peer` passed on."""
        return await self._calls.handle(peer, kind, body)

    def status(self) -> dict[str, ConnectionStatus]:
        """Each member's connection, for /status."""
        now_s = asyncio.get_running_loop().time()
        return {peer: self._status(peer, now_s) for peer in self._dialling.members}

    def _status(self, peer: str, now_s: float) -> ConnectionStatus:
        connection = self._open.get(peer)
        refused = self._told.why(peer, is_open=connection is not None)
        address = self._dialling.address(peer)
        if connection is not None and connection.target is not None:
            address = connection.target.address
        before = self._bytes_in[peer], self._bytes_out[peer]
        if connection is None:
            return ConnectionStatus(address, False, None, 0, *before, refused)
        heard_ms_ago = int((now_s - connection.heard_s) * 1000)
        return ConnectionStatus(
            address,
            True,
            heard_ms_ago,
            connection.backlog,
            before[0] + connection.bytes_in,
            before[1] + connection.bytes_out,
            refused,
        )
