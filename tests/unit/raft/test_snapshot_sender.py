"""The leader's end of a snapshot on its way, and a follower that asks for pieces without reading them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.elections import LEADER
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.snapshot.transfer import PIECE_BYTES, SnapshotSender
from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.cluster.raft.transport.transport import PeerTransport
from quorate.cluster.raft.unsafe_recovery import InlineWriter

META = SnapshotMeta(index=9, term=1, chain=bytes(16), members=b"", size=100 * PIECE_BYTES, id="0f" * 16)


class Link:
    """What the transport does: it keeps what the peer has not read."""

    def __init__(self) -> None:
        self.waiting = 0
        self.offsets: list[int] = []

    def send(self, peer: str, message: messages.Message) -> bool:
        assert isinstance(message, messages.SnapshotChunk)
        self.waiting += len(message.data)
        self.offsets.append(message.offset)
        return True

    def backlog(self, peer: str) -> int:
        return self.waiting


def sender(link: Link) -> SnapshotSender:
    engine = SimpleNamespace(term_now=3, role=LEADER, next_index=lambda peer: 1, copied_index=lambda peer: 0)
    store = SimpleNamespace(
        hold=lambda meta: None, read_chunk=lambda meta, offset, size: bytes(min(size, meta.size - offset))
    )
    made = SnapshotSender(cast(Engine, engine), cast(SnapshotStore, store), InlineWriter(), cast(PeerTransport, link))
    made.offer("n2", META)
    return made


def ack(offset: int) -> messages.SnapshotAck:
    return messages.SnapshotAck(3, META.id, offset)


def test_pieces_follow_the_answers_of_a_peer_that_reads() -> None:
    link = Link()
    sends = sender(link)
    for piece in range(1, 100):
        link.waiting = 0
        sends.on_ack("n2", ack(piece * PIECE_BYTES))
    assert [piece * PIECE_BYTES for piece in range(100)] == link.offsets


def test_a_peer_that_asks_and_does_not_read_is_sent_no_more() -> None:
    """It would cost the leader a piece of memory for each of its answers."""
    link = Link()
    sends = sender(link)
    for number in range(1_000):
        sends.on_ack("n2", ack(1 + number % 2))
    assert link.waiting <= 4 * PIECE_BYTES
    link.waiting = 0
    sends.on_ack("n2", ack(7))
    assert 7 == link.offsets[-1], "it goes on when it reads"
