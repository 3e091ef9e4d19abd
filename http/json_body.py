"""Bodies in JSON that change something else than a count: polls, producers, and what operators ask.

A name that stands twice in one object is refused. Which of the two holds differs from program to program, so a proxy
or a log in front of a node may have seen another request than the node executes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

import msgspec

from quorate import shown
from quorate.errors import Invalid

T = TypeVar("T")


def reader(kind: type[T]) -> Callable[[bytes], T]:
    """A decoder that raises `Invalid` if a name stands twice, and otherwise what msgspec's raise."""
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes) -> T:
        value = decode(body)
        json.loads(body, object_pairs_hook=_refuse_repeated)
        return value

    return read


def _refuse_repeated(pairs: list[tuple[str, object]]) -> None:
    names = set[str]()
    for name, _ in pairs:
        if name in names:
            raise Invalid(f'"{shown.name(name)}" stands twice in one object; give it once')
        names.add(name)
