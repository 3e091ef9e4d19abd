"""Which part of unsynced writes a disk has after its power went: for real nodes and for the simulation."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

BLOCK_BYTES = 512  # what a disk writes whole or not at all


def overwrite(data: bytearray, offset: int, piece: bytes) -> None:
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(piece)] = piece


def survivors(
    rng: random.Random, unsynced: Sequence[tuple[int, bytes]], before: Callable[[int, int], bytes]
) -> list[tuple[int, bytes]]:
    """Which blocks of the writes reached the disk: any of them, or those up to some point; one may be garbage.

    Garbage only where bytes were about to change: a write does not harm its neighbours, or the same bytes. `before`
    reads what is there: at an offset, so many bytes.
    """
    blocks = [block for offset, data in unsynced for block in _blocks(offset, data)]
    outcome = rng.random()
    if outcome < 0.4:
        blocks = blocks[: rng.randint(0, len(blocks))]
    elif outcome < 0.9:
        share = rng.random()
        blocks = [block for block in blocks if rng.random() < share]
    if blocks and rng.random() < 0.3:
        at = rng.randrange(len(blocks))
        offset, data = blocks[at]
        there = before(offset, len(data))
        same = next((i for i, (new, old) in enumerate(zip(data, there, strict=False)) if new != old), len(there))
        keep = rng.randint(same, len(data))
        blocks[at] = offset, data[:keep] + (rng.randbytes(len(data) - keep) if rng.random() < 0.5 else b"")
    return blocks


def _blocks(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    ends = [*range(BLOCK_BYTES - offset % BLOCK_BYTES, len(data), BLOCK_BYTES), len(data)]
    return [(offset + start, data[start:end]) for start, end in zip([0, *ends], ends, strict=False) if end > start]
