"""Many messages, split into lists that are small enough to be sent at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def split(bodies: Iterable[bytes], *, bytes_max: int, count_max: int | None = None) -> Iterator[list[bytes]]:
    """The bodies in order. A body that is longer than `bytes_max` is a part of its own."""
    part: list[bytes] = []
    size = 0
    for body in bodies:
        if part and (len(part) == count_max or size + len(body) > bytes_max):
            yield part
            part, size = [], 0
        part.append(body)
        size += len(body)
    if part:
        yield part
