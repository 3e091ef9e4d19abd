"""What a sink offers besides `Sink` when people can put polls into it by hand, and the cluster takes them in.

InfluxDB or Redis need none of it: a sink without `find` and `touched` is only written to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from quorate.sinks.sink import Sink

# In one answer of `find`. The flush that follows fences them, so the next `find` returns the next thousand.
MANUAL_POLLS_MAX = 1_000

REFRESH_S = 60.0  # for sinks that have no setting for it


@dataclass(frozen=True, slots=True)
class ManualPoll:
    """A poll that was put into the sink by hand and that no cluster has fenced yet."""

    id: str
    title: str
    options: Sequence[str]
    results: Mapping[str, int]  # of every option, zeros too, in the order of `options`
    state: Literal["draft", "open"] = "open"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that makes no sense as a poll. It is reported and left alone."""

    id: str
    why: str


@runtime_checkable
class ImportableSink(Sink, Protocol):
    refresh_s: float  # seconds between two calls of `find` when `touched` says nothing

    def find(self, *, timeout_s: float) -> tuple[list[ManualPoll], list[Unreadable]]:
        """The polls put there by hand, at most `MANUAL_POLLS_MAX` of each kind. Raises `SinkError`."""
        ...

    def find_longer(self, sizes: Mapping[str, int], cluster_id: str, *, timeout_s: float) -> Mapping[str, list[str]]:
        """The stored options of these polls, where the document has more of them than `sizes` says: people add some.

        Only documents that this cluster has written, and no write-in polls. Raises `SinkError`.
        """
        ...

    def touched(self, *, timeout_s: float) -> bool:
        """Whether a poll may have been put there since the last call: a cheap hint to call `find` sooner.

        It is no promise: a sink that cannot tell always answers False. Raises `SinkError`.
        """
        ...
