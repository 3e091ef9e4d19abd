"""Snapshots on their way between nodes, in pieces with an id and an offset: a broken connection costs one piece.

The leader offers its newest snapshot to a follower whose next entry is no longer in the log, and sends it piece by
piece. The follower stores the pieces in a file of their own and answers with the offset that it wants next. When the
snapshot is whole, its checksum (which is its id) is right and the state machine has accepted it, it replaces the
follower's state and log. If anything fails before that, the follower keeps its old state, and the leader tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.elections import LEADER
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.cluster.raft.storage.writer import Writer
from quorate.cluster.raft.transport.transport import PeerTransport
from quorate.errors import DataError

PIECE_BYTES = 256 * 1024
STALLED_S, STALLED_MAX_S = 1.0, 8.0  # an unanswered piece is sent again after this time, which doubles at each try

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sending:
    """A snapshot on its way to one peer."""

    meta: SnapshotMeta
    offset: int  # of the piece that the peer wants next
    sent_at_s: float  # when the last piece left
    timeout_s: float  # how long the answer to it may take


class SnapshotSender:
    """The leader's end. Reads from the disk go to the snapshots' own thread."""

    def __init__(self, engine: Engine, snapshots: SnapshotStore, writer: Writer, transport: PeerTransport) -> None:
        self._engine, self._snapshots, self._writer, self._transport = engine, snapshots, writer, transport
        self._sending: dict[str, _Sending] = {}
        self._reading: set[str] = set()  # peers whose next piece is being read from the disk: one read a peer

    def offer(self, peer: str, newest: SnapshotMeta | None) -> None:
        """Begin to send the newest snapshot, or send a piece again if no answer came.

        A snapshot on its way is not replaced by a newer one. Otherwise a snapshot that takes longer to send than to
        make the next one would never arrive.
        """
        sending = self._sending.get(peer)
        now_s = monotonic_s()
        if sending is not None and self._engine.next_index(peer) <= sending.meta.index:
            if now_s - sending.sent_at_s < sending.timeout_s or self._transport.backlog(peer) >= PIECE_BYTES:
                return  # one more piece on a slow connection would only delay everything behind it
            sending.timeout_s = min(2 * sending.timeout_s, STALLED_MAX_S)
        else:
            if newest is None:
                return
            sending = self._sending[peer] = _Sending(newest, 0, now_s, STALLED_S)
            log.info("sending %s the snapshot up to index %d (%d bytes)", peer, newest.index, newest.size)
        self._send_piece(peer, sending)

    def sent_index(self, peer: str) -> int:
        """The index of the snapshot that the peer was sent, or is being sent; 0 if there is none."""
        sending = self._sending.get(peer)
        return 0 if sending is None else sending.meta.index

    def cancel(self, peer: str) -> None:
        self._sending.pop(peer, None)

    def _send_piece(self, peer: str, sending: _Sending) -> None:
        if peer in self._reading:
            return  # `_piece_read` compares the offset with the one that is wanted by then
        self._reading.add(peer)
        sending.sent_at_s = monotonic_s()
        meta, offset = sending.meta, sending.offset
        self._writer.run(
            lambda: self._snapshots.read_chunk(meta, offset, PIECE_BYTES),
            lambda data: self._piece_read(peer, sending, offset, data),
        )

    def _piece_read(self, peer: str, sending: _Sending, offset: int, data: bytes | BaseException) -> None:
        self._reading.discard(peer)
        if self._sending.get(peer) is not sending or self._engine.role != LEADER:
            return  # a piece sent now would carry the term of another leader; the next offer goes on if we lead
        if isinstance(data, BaseException):  # a newer snapshot replaced the file: the next offer begins with that one
            del self._sending[peer]
        elif sending.offset != offset:
            self._send_piece(peer, sending)
        else:
            meta = sending.meta
            self._transport.send(
                peer,
                messages.SnapshotChunk(
                    self._engine.term_now,
                    meta.index,
                    meta.term,
                    meta.chain,
                    meta.members,
                    meta.size,
                    meta.id,
                    offset,
                    data,
                ),
            )

    def on_ack(self, peer: str, ack: messages.SnapshotAck) -> None:
        sending = self._sending.get(peer)
        if sending is None or ack.term != self._engine.term_now or ack.id != sending.meta.id:
            return
        if ack.offset == sending.offset:
            return  # the piece is on its way already
        if ack.offset == 0:
            del self._sending[peer]  # the checksum was wrong there: the next offer begins with the newest snapshot
        else:
            sending.offset = min(ack.offset, sending.meta.size)
            if sending.offset < sending.meta.size:  # once it has all bytes, it answers with `Appended`
                self._send_piece(peer, sending)


class SnapshotReceiver:
    """The follower's end. Writes to the disk go to the snapshots' own thread, one piece at a time."""

    def __init__(
        self,
        engine: Engine,
        snapshots: SnapshotStore,
        writer: Writer,
        transport: PeerTransport,
        *,
        install: Callable[[SnapshotMeta, Callable[[bool], None]], None],
    ) -> None:
        self._engine, self._snapshots, self._writer, self._transport = engine, snapshots, writer, transport
        self._install = install
        self._receiving = False
        self.installed = 0  # snapshots installed since start

    def on_chunk(self, peer: str, chunk: messages.SnapshotChunk) -> None:
        engine = self._engine
        if chunk.term < engine.term_now:
            self._transport.send(peer, messages.Appended(engine.term_now, 0, success=False, reset=False))
            return
        engine.follow(peer, chunk.term)
        if chunk.index <= engine.commit_index or engine.log_contains(chunk.index, chunk.index_term, chunk.chain):
            # Our log has all entries that the snapshot stands for. Tell the leader where to go on from.
            self._transport.send(
                peer, messages.Appended(chunk.term, engine.commit_index + 1, success=False, reset=True)
            )
            return
        if self._receiving:
            return
        self._receiving = True
        meta = SnapshotMeta(
            index=chunk.index,
            term=chunk.index_term,
            chain=chunk.chain,
            members=chunk.members,
            size=chunk.size,
            id=chunk.id,
        )
        self._writer.run(
            lambda: self._snapshots.receive(meta, chunk.offset, chunk.data),
            lambda wanted: self._received(peer, meta, chunk.term, wanted),
        )

    def _received(self, peer: str, meta: SnapshotMeta, term: int, wanted: int | BaseException | None) -> None:
        if isinstance(wanted, DataError):
            log.error("a piece of the snapshot from %s was refused: %s", peer, wanted.detail)
            self._receiving = False
        elif isinstance(wanted, BaseException):
            self._receiving = False
            raise wanted
        elif wanted is not None:
            self._receiving = False
            self._transport.send(peer, messages.SnapshotAck(term, meta.id, wanted))
        else:
            self._transport.send(peer, messages.SnapshotAck(term, meta.id, meta.size))
            self._install(meta, lambda ok: self._installed(peer, meta, ok))

    def _installed(self, peer: str, meta: SnapshotMeta, ok: bool) -> None:
        self._receiving = False
        if ok:
            self.installed += 1
            self._engine.promise(
                peer, messages.Appended(self._engine.term_now, meta.index + 1, success=True, reset=True)
            )
