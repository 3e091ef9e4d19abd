"""Snapshots on their way between nodes: pieces with an id and an offset, so that a broken link costs one piece.

The leader offers its newest snapshot to a follower whose next entry is no longer in the log, one piece at a time; the
follower keeps the pieces aside, says which offset it wants next, and only when the whole has the checksum that is its
id, and the state machine has accepted it, does it take the place of what the follower had. Whatever fails before
leaves the old state, and is tried again.
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
from quorate.errors import DataError

PIECE_BYTES = 256 * 1024
STALLED_S, STALLED_MAX_S = 1.0, 8.0  # a piece that is not answered is sent again; twice as late each time

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sending:
    meta: SnapshotMeta
    offset: int
    at_s: float  # when the last piece left
    patience_s: float  # how long its answer may take


class Transfer:
    """Both ends. Blocking reads and writes go to the snapshots' own thread."""

    def __init__(
        self,
        engine: Engine,
        snapshots: SnapshotStore,
        writer: Writer,
        *,
        newest: Callable[[], SnapshotMeta | None],
        send: Callable[[str, messages.Message], bool],
        backlog: Callable[[str], int],
        install: Callable[[SnapshotMeta, Callable[[bool], None]], None],
    ) -> None:
        self._engine, self._snapshots, self._writer = engine, snapshots, writer
        self._newest, self._send, self._backlog, self._install = newest, send, backlog, install
        self._sending: dict[str, _Sending] = {}
        self._reading: set[str] = set()  # peers whose next piece the disk is asked for: once, however long it takes
        self._receiving = False
        self.received = 0  # snapshots installed since start

    # ---- leader -----------------------------------------------------------------------------------------------------

    def offer(self, peer: str) -> None:
        """Begin, or go on when no answer came. A newer snapshot is no reason to begin anew: if it were, one that takes
        longer to send than to be followed by the next would never arrive."""
        sending = self._sending.get(peer)
        now_s = monotonic_s()
        if sending is not None and self._engine.next_index(peer) <= sending.meta.index:
            if now_s - sending.at_s < sending.patience_s or self._backlog(peer) >= PIECE_BYTES:
                return  # one more piece on a slow line would only make all behind it wait longer
            sending.patience_s = min(2 * sending.patience_s, STALLED_MAX_S)
        else:
            meta = self._newest()
            if meta is None:
                return
            sending = self._sending[peer] = _Sending(meta, 0, now_s, STALLED_S)
            log.info("sending %s the snapshot up to index %d (%d bytes)", peer, meta.index, meta.size)
        self._send_piece(peer, sending)

    def held(self, peer: str) -> int:
        """The index of the snapshot that a peer has been sent, or is being sent; 0 if none."""
        sending = self._sending.get(peer)
        return 0 if sending is None else sending.meta.index

    def cancel(self, peer: str) -> None:
        self._sending.pop(peer, None)

    def _send_piece(self, peer: str, sending: _Sending) -> None:
        if peer in self._reading:
            return  # when that is there, what is wanted now is looked at
        self._reading.add(peer)
        sending.at_s = monotonic_s()
        meta, offset = sending.meta, sending.offset
        self._writer.run(
            lambda: self._snapshots.read_chunk(meta, offset, PIECE_BYTES),
            lambda data: self._piece_read(peer, sending, offset, data),
        )

    def _piece_read(self, peer: str, sending: _Sending, offset: int, data: bytes | BaseException) -> None:
        self._reading.discard(peer)
        if self._sending.get(peer) is not sending or self._engine.role != LEADER:
            return  # the next offer goes on; in the term of another leader nobody may take us for one
        if isinstance(data, BaseException):  # newer snapshots took its place meanwhile: the next offer sends that
            del self._sending[peer]
        elif sending.offset != offset:
            self._send_piece(peer, sending)
        else:
            meta = sending.meta
            self._send(
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
            return  # that piece is on its way already, maybe twice
        if ack.offset == 0:
            del self._sending[peer]  # it made no snapshot: the next offer begins anew, with the newest
        else:
            sending.offset = min(ack.offset, sending.meta.size)
            if sending.offset < sending.meta.size:  # else it has everything; `Appended` will say what it made of it
                self._send_piece(peer, sending)

    # ---- follower ---------------------------------------------------------------------------------------------------

    def on_chunk(self, peer: str, chunk: messages.SnapshotChunk) -> None:
        engine = self._engine
        if chunk.term < engine.term_now:
            self._send(peer, messages.Appended(engine.term_now, 0, success=False, reset=False))
            return
        engine.follow(peer, chunk.term)
        if chunk.index <= engine.commit_index or engine.log_contains(chunk.index, chunk.index_term, chunk.chain):
            # What a snapshot says that we have already never takes us back: say where we are.
            self._send(peer, messages.Appended(chunk.term, engine.commit_index + 1, success=False, reset=True))
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
            self._send(peer, messages.SnapshotAck(term, meta.id, wanted))
        else:
            self._send(peer, messages.SnapshotAck(term, meta.id, meta.size))
            self._install(meta, lambda ok: self._installed(peer, meta, ok))

    def _installed(self, peer: str, meta: SnapshotMeta, ok: bool) -> None:
        self._receiving = False
        if ok:
            self.received += 1
            self._engine.promise(
                peer, messages.Appended(self._engine.term_now, meta.index + 1, success=True, reset=True)
            )
