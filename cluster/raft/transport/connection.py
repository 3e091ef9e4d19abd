"""One connection to a peer: frames, sealed once the handshake is done, and the messages in them.

A connection costs little before its handshake: a hello of at most 4 KiB and a few seconds. Then the other end has
proved that it has the key, or the connection is closed (`handshake/`). Raft's messages and the calls share the
connection, part by part (`streams.py`). Every part that arrives shows that the peer is alive.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol, cast

from quorate.cluster.raft.messages import MALFORMED
from quorate.cluster.raft.transport.flushes import Flushes
from quorate.cluster.raft.transport.frames import IncomingFrames, OutgoingFrames
from quorate.cluster.raft.transport.handshake.cipher import BadFrame
from quorate.cluster.raft.transport.handshake.credentials import Credentials
from quorate.cluster.raft.transport.handshake.handshake import Handshake, WrongKey, nothing
from quorate.cluster.raft.transport.handshake.introduction import (
    INTRODUCTION_BYTES_MAX,
    Introduction,
    encode_introduction,
)
from quorate.cluster.raft.transport.handshake.tls_layer import HANDSHAKE_RECORD, NOT_TLS, TlsLayer
from quorate.cluster.raft.transport.link_reasons import ENDED_EARLY, no_greeting, other_name, unreadable
from quorate.cluster.raft.transport.streams import (
    INTRODUCTIONS,
    MESSAGE_BYTES_MAX,
    PART_BYTES,
    REFUSALS,
    Incoming,
    Outgoing,
    is_of,
    whole,
)
from quorate.cluster.raft.transport.turns import LoopTurns

HANDSHAKE_S = 3.0
WRITE_BUFFER_BYTES = 1024 * 1024
REFUSAL_BYTES_MAX = 16 * 1024

ONLY_ASKED = b"it only asked which node answers here"  # comes as a refusal, and is none


class Target(NamedTuple):
    """Whom a connection was dialled for, and where."""

    peer: str
    address: str


class ConnectionOwner(Protocol):
    """What a connection asks and tells the transport that it belongs to."""

    node_id: str
    credentials: Credentials
    flushes: Flushes

    def introduction(self) -> Introduction: ...

    def opened(self, connection: PeerConnection) -> str | None:
        """The peer has introduced itself: a reason to refuse it, or None."""
        ...

    def received(self, connection: PeerConnection, stream: int, message: bytes) -> None: ...

    def progress(self, connection: PeerConnection) -> None:
        """Part of a long message came."""
        ...

    def refused(self, connection: PeerConnection, why: str) -> None:
        """The other end refuses this node."""
        ...

    def closed(self, connection: PeerConnection, why: str) -> None:
        """Nothing is sent or received any more, but for the other end's reason to refuse this node."""
        ...

    def gone(self, connection: PeerConnection) -> None:
        """The socket is closed. The last call."""
        ...


class PeerConnection(asyncio.Protocol):
    """A connection. `peer` is None until the other end has introduced itself; then it is the node id of that end.

    `target` is None if the other end has dialled. A connection that `only_asks` wants to know who is at the other end.
    `turn` says which of the ways to prove itself this end dials with.
    """

    def __init__(
        self, owner: ConnectionOwner, target: Target | None, *, only_asks: bool = False, turn: int = 0
    ) -> None:
        self._owner, self.target, self._only_asks = owner, target, only_asks
        self.flushes = owner.flushes
        self.loop = asyncio.get_running_loop()  # kept: on Python 3.11 each look is a system call
        self._tls: TlsLayer | None = None
        credentials = owner.credentials
        self._may_be_tls = target is None and credentials.tls is not None  # the other end's first byte tells
        if target is None:
            tls_only = credentials.tls is not None and not credentials.keys
            self._handshake = Handshake(owner.node_id, credentials.keys, dialled=False, tls_only=tls_only)
        else:
            context, keys = credentials.to_dial(turn)
            self._tls = None if context is None else TlsLayer(context, dialled=True)
            self._handshake = Handshake(owner.node_id, keys, dialled=True)
        self._frames_in, self._turns = IncomingFrames(), LoopTurns(self._take_frames)
        self._outgoing, self._incoming = Outgoing(), Incoming()
        self._frames_out = OutgoingFrames()  # to be written at the end of this turn of the loop
        self._paused = False
        self._early_close_reason: str | None = None  # set if `close` was called before it was connected
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._why: str | None = None  # why this end closed it
        self.peer: str | None = None
        self.introduction: Introduction | None = None
        self.accepted = False  # see `accept`
        self.refusing = False  # see `refuse` and `_give_up`
        self.only_asked = False  # the other end wanted to know which node this is, and nothing more
        self.was_refused = False  # by the other end
        self.host = ""  # of the other end
        self.heard_s = self.sent_s = 0.0
        self.bytes_in = self.bytes_out = 0

    @property
    def fingerprint(self) -> str:
        """Of the other end's certificate; "" without TLS."""
        return "" if self._tls is None else self._tls.fingerprint

    @property
    def claimed_id(self) -> str:
        """The node id that the other end claims, before it is proved: for log lines."""
        return self._handshake.claimed_id

    # ---- connection -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses of it
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        peername = transport.get_extra_info("peername")
        self.host = str(peername[0] if peername else "")
        self.heard_s = self.sent_s = self.loop.time()
        if self._early_close_reason is not None:
            self.close(self._early_close_reason)
            return
        self._close_later("it did not introduce itself in time")
        if self._tls is not None:
            self._tls.begin()
            transport.write(self._tls.outgoing())
        elif not self._may_be_tls:
            self._write(self._handshake.our_hello)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._turns.stop()
        self._transport = None
        self._outgoing.clear()
        self._incoming, self._frames_in = Incoming(), IncomingFrames()
        if not self.refusing:
            self._owner.closed(self, self._why or self._why_lost(exc))
        self._owner.gone(self)

    def _why_lost(self, exc: Exception | None) -> str:
        """The other end, or the network, closed the connection."""
        if self._tls is not None and not self._tls.established:
            return f"it ended the connection instead of speaking TLS: {NOT_TLS}"
        if self._handshake.is_sealed and self.peer is None:
            return ENDED_EARLY
        return str(exc) if exc else "the other end closed it"

    def accept(self) -> None:
        """The owner accepts the peer: from now on this is the peer's connection."""
        self.accepted = True

    def close(self, why: str) -> None:
        """Close the connection now, or as soon as it is made. Idempotent. `ConnectionOwner` is told."""
        if self._transport is None:
            self._early_close_reason = why
            return
        if not self._transport.is_closing():
            self._why = why
        self._transport.abort()  # also if it is closing already: it may wait for a peer that reads nothing

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        buffered = self._transport.get_write_buffer_size() if self._transport else 0
        return self._outgoing.bytes + self._frames_out.bytes + buffered

    @property
    def _full(self) -> bool:
        """Whether so much waits to be written that the next part must wait too."""
        return self._paused or self._frames_out.bytes > WRITE_BUFFER_BYTES

    # ---- sending ----------------------------------------------------------------------------------------------------

    def send(self, stream: int, message: bytes) -> bool:
        """Queue a message; False if the connection is closed. Messages of one stream keep their order."""
        if self._transport is None or self._transport.is_closing() or self.refusing or self._handshake.cipher is None:
            return False
        if len(message) <= PART_BYTES and not self._full and not self._outgoing.has(stream):
            self._write_part(whole(stream, message))
            return True
        self._outgoing.add(stream, message)
        self._pump()
        return True

    def _pump(self) -> None:
        """Send parts while the socket takes them."""
        while not self._full and self._outgoing:
            self._write_part(self._outgoing.next_part())

    def _write_part(self, part: bytes) -> None:
        assert self._handshake.cipher is not None
        self._write(self._handshake.cipher.seal(part))

    def _write(self, frame: bytes) -> None:
        """Collect the frames that leave together, for one system call."""
        if not self._frames_out.bytes:
            self.flushes.add(self.loop, self._flush)
        self.bytes_out += self._frames_out.add(frame)

    def _flush(self) -> None:
        data = self._frames_out.take()
        if self._transport is not None and data:
            self.sent_s = self.loop.time()
            self._transport.write(data if self._tls is None else self._tls.seal(data))
            self._pump()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    # ---- receiving --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.heard_s = self.loop.time()
        self.bytes_in += len(data)
        if self.refusing and self.peer is None:
            return
        try:
            self._frames_in.add(self._under_tls(data))
        except BadFrame as error:
            self._on_wrong_bytes(error)
        else:
            self._take_frames()

    def _take_frames(self) -> None:
        """Take what has come, as much of it as may be taken in this turn of the loop."""
        frames, turns = self._frames_in, self._turns
        if turns.rests:
            return
        turns.begin()
        try:
            while not self._closes and (frame := frames.take(hello=self._handshake.cipher is None)) is not None:
                self._on_frame(frame)
                if not turns.another():
                    break
        except (BadFrame, *MALFORMED) as error:
            self._on_wrong_bytes(error)
        if self._transport is None or self._transport.is_closing():
            frames.clear()
        else:
            turns.settle(self._transport)

    @property
    def _closes(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _under_tls(self, data: bytes) -> bytes:
        """What came, without the TLS that it may be under. The first byte says whether the other end speaks it."""
        if self._may_be_tls:
            self._may_be_tls = False
            tls = self._owner.credentials.tls
            if data[0] == HANDSHAKE_RECORD and tls is not None:
                self._tls = TlsLayer(tls.server, dialled=False)
                self._handshake = Handshake(self._owner.node_id, (), dialled=False)
            else:
                self._write(self._handshake.our_hello)
        if self._tls is None:
            return data
        before = self._tls.established
        try:
            plain = self._tls.feed(data)
        finally:
            if self._transport is not None and (answer := self._tls.outgoing()):
                self._transport.write(answer)
        if self._tls.established and not before:
            self._write(self._handshake.our_hello)
        return plain

    def _on_wrong_bytes(self, error: Exception) -> None:
        if self._tls is not None and self.peer is None and isinstance(error, BadFrame):
            self._give_up(str(error))
        elif not self.claimed_id:
            self.close(no_greeting(error))
        elif isinstance(error, MALFORMED):
            self.refuse(unreadable(self.claimed_id, self._owner.node_id, error))
        elif self.peer is None:
            if isinstance(error, WrongKey) and self.target is None:
                self._write(nothing())
            self._give_up(str(error))
        else:
            self.close(str(error))

    def _on_frame(self, frame: bytes) -> None:
        cipher = self._handshake.cipher
        if cipher is None:
            self._on_hello(frame)
        elif self.peer is None:
            self._on_part(self._handshake.open_unproved(frame), INTRODUCTION_BYTES_MAX)
        elif not self.refusing:
            self._on_part(cipher.open(frame), MESSAGE_BYTES_MAX)
        elif is_of(REFUSALS, part := cipher.open(frame)):
            self._on_part(part, REFUSAL_BYTES_MAX)

    def _on_part(self, part: bytes, bytes_max: int) -> None:
        stream, message = self._incoming.take(part, bytes_max)
        if message is not None:
            self._on_message(stream, message)
        elif not self.refusing:
            self._owner.progress(self)

    def _on_message(self, stream: int, message: bytes) -> None:
        if stream == REFUSALS and message == ONLY_ASKED:
            if self.target is None and self.peer is None and not self.only_asked:
                self.introduce()
            self.only_asked = True
        elif stream == REFUSALS:
            self.was_refused = True
            self._owner.refused(self, message.decode("utf-8", "replace")[:1000])
        elif self.refusing:
            return
        elif stream == INTRODUCTIONS:
            self._on_introduction(message)
        elif self.peer is None:
            raise BadFrame("it spoke before it introduced itself")
        else:
            self._owner.received(self, stream, message)

    def _on_hello(self, frame: bytes) -> None:
        node_id = self._handshake.on_hello(frame)
        if self._tls is not None and node_id not in self._tls.names:
            self.refuse(other_name(self.claimed_id, self._tls.names))
        elif self._only_asks:
            self.send(REFUSALS, ONLY_ASKED)
        elif self.target is not None and self.target.peer != node_id:
            # An introduction would replace the connection that the two may have already.
            address, peer = self.target.address, self.target.peer
            why = f"{address} was dialled as an address of {peer}, and {self.claimed_id} answered there"
            self.refuse(why, ONLY_ASKED)
        elif self.target is not None:
            self.introduce()

    def introduce(self) -> None:
        """Say which node this is: after the hello, and again when something in the introduction has changed."""
        self.send(INTRODUCTIONS, encode_introduction(self._owner.introduction()))

    def _on_introduction(self, message: bytes) -> None:
        self.introduction = self._handshake.on_introduction(message, self.heard_s)
        if self.peer is None and self.target is None:
            self.introduce()  # the other end has proved itself first
        if self._deadline is not None:
            self._deadline.cancel()
        self.peer = self.introduction.node_id
        refusal = self._owner.opened(self)
        if refusal is not None:
            self.refuse(refusal)

    def refuse(self, why: str, told: bytes | None = None) -> None:
        """Tell the other end why, then close the connection once that end has done so, or after `HANDSHAKE_S`.

        Or tell it `told`. A socket that is closed while it has something to read sends a reset, and that can destroy
        the reason before the other end has read it. So only our half is closed. What still comes is ignored, but for
        the other end's own reason: both may refuse each other at once. For the owner the connection is closed now.
        """
        if self._transport is None or self.refusing or self._closes:
            return
        self._outgoing.clear()
        self._write_part(whole(REFUSALS, why.encode() if told is None else told))
        self._give_up(why)

    def _give_up(self, why: str) -> None:
        """As `refuse`, without a word: the other end finds the reason in what this node has sent in the handshake."""
        if self._transport is None or self.refusing or self._closes:
            return
        self._flush()
        self.refusing, self._incoming = True, Incoming()
        self._transport.write_eof()
        self._close_later(why)
        self._owner.closed(self, why)

    def _close_later(self, why: str) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(HANDSHAKE_S, self.close, why)
