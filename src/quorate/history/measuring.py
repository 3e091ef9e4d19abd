"""What a row says of a poll: its total, and the biggest options by their places in the poll.

A poll of very many options is measured in pieces, from a copy of its columns, so that the node's loop goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from heapq import nlargest
from typing import Annotated, NamedTuple

import msgspec

from quorate.cluster.read.chunks import OPTIONS_A_CHUNK
from quorate.cluster.state.tally import Columns

OPTIONS_KEPT = 10  # of a poll with more, those with most votes

encode_options = msgspec.msgpack.Encoder().encode
_Count = Annotated[int, msgspec.Meta(ge=0)]
decode_options = msgspec.msgpack.Decoder(list[tuple[_Count, _Count]]).decode  # (place of the option, votes)


class Measured(NamedTuple):
    total: int
    options: bytes


def measure(counts: Iterable[int]) -> Measured:
    """Of the counts of all options, in the order of the poll."""
    found = list(counts)
    places: Iterable[int] = range(len(found))
    if len(found) > OPTIONS_KEPT:
        places = nlargest(OPTIONS_KEPT, places, key=found.__getitem__)
    return Measured(sum(found), encode_options([(place, found[place]) for place in places]))


async def measure_big(columns: Columns, rest: Callable[[], Awaitable[None]]) -> Measured:
    """The same, a thousand options at a time, with a rest between two."""
    total, best = 0, list[tuple[int, int]]()  # (votes, -place): of equal ones the first
    for start in range(0, len(columns), OPTIONS_A_CHUNK):
        if start:
            await rest()
        counts = [votes for _, votes in columns.rows(start, start + OPTIONS_A_CHUNK)]
        total += sum(counts)
        best = nlargest(OPTIONS_KEPT, [*best, *zip(counts, range(-start, -start - len(counts), -1), strict=True)])
    return Measured(total, encode_options([(-place, votes) for votes, place in best]))
