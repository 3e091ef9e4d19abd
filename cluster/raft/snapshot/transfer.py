"""Snapshots on their way between nodes, in pieces with an id and an offset: a broken connection costs one piece.

The leader offers its newest snapshot to a follower whose next entry is no longer in the log, and sends it piece by
piece. The follower stores the pieces in a file of their own and answers with the offset that it wants next. When the
snapshot is whole, its checksum (which is its id) is right and the state machine has accepted it, it replaces the
follower's state and log. If anything fails before that, the follower keeps its old state, and the leader tries again.

A snapshot on its way stays on the leader's disk, and the log behind it as well, until the peer has it and goes on from
the log. Otherwise a snapshot that takes longer to send than to be followed by some newer ones would never arrive.
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
from quorate.crash_points import crash_point
from quorate.errors import DataError

PIECE_BYTES = 256 * 1024
UNREAD_BYTES_MAX = 2 * PIECE_BYTES  # a peer that asks for pieces and does not read is sent no more
STALLED_S, STALLED_MAX_S = 1.0, 8.0  # an unanswered piece is sent again after this time, which doubles at each try
RESUME_S = 30.0  # a peer whose connection broke goes on with the same snapshot if it is back within this time
# The log behind a snapshot on its way may take this many times its size of memory. Entries of votes take some four
# times as much in memory as on the link. So where this is not enough, votes come faster than the link takes them, and
# nothing would help the peer.
LOG_PER_SNAPSHOT = 4

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sending:
    """A snapshot on its way to one peer."""

    meta: SnapshotMeta
    offset: int  # of the piece that the peer wants next
    sent_at_s: float  # when the last piece left
    timeout_s: float  # how long the answer to it may take
    left_at_s: float | None = None  # when the connection to the peer broke
    arrived: bool = False  # the peer has it, and goes on from the log


class SnapshotSender:
    """The leader's end. Reads from the disk go to the snapshots' own thread."""

    def __init__(self, engine: Engine, snapshots: SnapshotStore, writer: Writer, transport: PeerTransport) -> None:
        self._engine, self._snapshots, self._writer, self._transport = engine, snapshots, writer, transport
        self._sending: dict[str, _Sending] = {}
        self._reading: set[str] = set()  # peers whose next piece is being read from the disk: one read a peer

    def offer(self, peer: str, newest: SnapshotMeta | None) -> None:
        """Begin to send the newest snapshot, or send a piece again if no answer came.

        A snapshot on its way is not replaced by a newer one.
        """
        sending = self._sending.get(peer)
        now_s = monotonic_s()
        if sending is not None and not sending.arrived and self._engine.next_index(peer) <= sending.meta.index:
            if sending.left_at_s is not None:  # the connection is back
                sending.left_at_s, sending.timeout_s = None, STALLED_S
            elif now_s - sending.sent_at_s < sending.timeout_s or self._transport.backlog(peer) >= PIECE_BYTES:
                return  # one more piece on a slow connection would only delay everything behind it
            else:
                sending.timeout_s = min(2 * sending.timeout_s, STALLED_MAX_S)
        else:
            if newest is None:
                return
            self._end(peer)
            sending = self._sending[peer] = _Sending(newest, 0, now_s, STALLED_S)
            self._snapshots.hold(newest)
            log.info("sending %s the snapshot up to index %d (%d bytes)", peer, newest.index, newest.size)
        self._send_piece(peer, sending)

    def sent_index(self, peer: str) -> int:
        """The index of the snapshot that the peer was sent, or is being sent; 0 if there is none."""
        sending = self._sending.get(peer)
        return 0 if sending is None else sending.meta.index

    def disconnected(self, peer: str) -> None:
        if peer in self._sending:
            self._sending[peer].left_at_s = monotonic_s()

    def tick(self) -> None:
        """Let go of snapshots that have arrived, or whose peers are gone."""
        if not self._sending:
            return
        now_s, engine = monotonic_s(), self._engine
        for peer, sending in list(self._sending.items()):
            if sending.arrived and self._transport.is_open(peer):
                sending.left_at_s = None
            gone = sending.left_at_s is not None and now_s - sending.left_at_s > RESUME_S
            if gone or engine.role != LEADER:
                self._end(peer)
            elif not sending.arrived and engine.copied_index(peer) >= sending.meta.index:
                sending.arrived = True
                self._release(sending)

    def log_needed(self, usual: int) -> list[tuple[int, int]]:
        """What peers need of the log that begins at `usual` otherwise: from which index on, and how many bytes at most.

        A peer that has caught up with `usual` needs nothing more.
        """
        needed = []
        for peer, sending in list(self._sending.items()):
            at = max(sending.meta.index, self._engine.had_index(peer))
            if at >= usual and sending.arrived:
                self._end(peer)
            else:
                needed.append((at, LOG_PER_SNAPSHOT * sending.meta.size))
        return needed

    def _end(self, peer: str) -> None:
        sending = self._sending.pop(peer, None)
        if sending is not None and not sending.arrived:
            self._release(sending)

    def _release(self, sending: _Sending) -> None:
        def done(result: BaseException | None) -> None:
            if result is not None:
                raise result

        self._snapshots.release(sending.meta)
        self._writer.run(self._snapshots.remove_old, done)

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
        if isinstance(
            data, BaseException
        ):  # the file is gone, or unreadable: the next offer begins with the newest one
            self._end(peer)
        elif sending.offset != offset:
            self._send_piece(peer, sending)
        else:
            meta = sending.meta
            crash_point("snapshot-piece-before-send")
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
            self._end(peer)  # the checksum was wrong there: the next offer begins with the newest snapshot
        else:
            sending.offset = min(ack.offset, sending.meta.size)
            reads = self._transport.backlog(peer) < UNREAD_BYTES_MAX  # if not, the next offer goes on
            if reads and sending.offset < sending.meta.size:  # once it has all bytes, it answers with `Appended`
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
