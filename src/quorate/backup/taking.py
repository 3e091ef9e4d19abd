"""Makes a backup of a frozen state, piece by piece, while the node counts.

Freezing takes milliseconds on the loop (`StateMachine.freeze`), and what it copies is held until the backup is sent.
The pieces are made in another thread, which rests after each piece, so that neither votes nor heartbeats wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator

from quorate import __version__
from quorate.backup.envelope import FORMAT, BackupHead, pieces_of
from quorate.cluster.fsm import Image
from quorate.cluster.state.dedup import FrozenDedup
from quorate.turns import ThreadTurns

PIECE_BYTES = 256 * 1024


def head_of(image: Image, node_id: str) -> BackupHead:
    head, polls = image.head, image.polls
    return BackupHead(
        FORMAT,
        head.cluster_id,
        head.version,
        head.chain.hex(),
        head.level,
        head.time_ms,
        time.time_ns() // 1_000_000,
        node_id,
        __version__,
        polls=head.polls,
        options=sum(len(poll.base) // 8 for poll in polls),
        votes=head.counted,
        ids=_held(image.dedup) + sum(_held(ids) for _, ids in image.shares),
        producers=head.producers,
        deleted=head.tombstones,
    )


def _held(ids: FrozenDedup) -> int:
    return ids.count + sum(closed.count for closed in ids.closed)


async def pieces(image: Image, node_id: str, turns: ThreadTurns) -> AsyncGenerator[bytes, None]:
    """The backup in pieces of a quarter of a megabyte. Used on the loop."""
    chunks = pieces_of(head_of(image, node_id), image.chunks())

    def next_pieces() -> list[bytes]:
        with turns.work():
            return list(_cut(_some(chunks)))

    while made := await asyncio.to_thread(next_pieces):
        for piece in made:
            yield piece


def _some(chunks: Iterator[bytes]) -> bytes:
    """Chunks of some quarter of a megabyte; more if one chunk is longer. Nothing at the end."""
    taken, size = [], 0
    for chunk in chunks:
        taken.append(chunk)
        size += len(chunk)
        if size >= PIECE_BYTES:
            break
    return b"".join(taken)


def _cut(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), PIECE_BYTES):
        yield data[at : at + PIECE_BYTES]
