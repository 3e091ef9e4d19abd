"""What a node needs of everything that brings it votes: NSQ today; Kafka, a Redis list and social streams later.

To add a source: a module in this room with `make_source`, a section of the settings, and a line in the adapter table
(`src/quorate/config/adapter_table.py`). The module may import its section, as the modules of sinks do. A source that
takes messages from a queue builds on `ingest/consumer.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from quorate.vote import Tallied, Vote


class Caster(Protocol):
    """What a source needs of the cluster. `cluster.submit.Submitter` is one."""

    async def cast(self, votes: Sequence[Vote], *, timeout_s: float, sent_ms: Sequence[int] | None = None) -> Tallied:
        """`sent_ms`: when each vote was put into its queue (Unix, ms; 0 if that is not known).

        A vote for a poll does not count if it is older than the deletion of an earlier poll of that name.
        """
        ...


@dataclass(slots=True)
class SourceMetrics:
    """What a source has counted since it was made. Every number only grows.

    `rejected` has a number for each reason. The reasons are a fixed set (`vote.Outcome`), so that each may be a label.
    """

    messages: int = 0
    votes: int = 0
    applied: int = 0
    duplicates: int = 0
    poison: int = 0  # messages that are no votes
    dead_letters: int = 0
    redelivered: int = 0
    requeued: int = 0  # messages given back
    deferred: int = 0  # how often a message was put off, because a vote named an option or a poll that nobody knows
    not_deferred: int = 0  # messages that were not put off, because too many others waited
    rejected: Counter[str] = field(default_factory=Counter)


class Source(Protocol):
    """All methods are called on the node's loop."""

    @property
    def name(self) -> str:
        """Its name in the settings and in `/status`."""
        ...

    @property
    def metrics(self) -> SourceMetrics: ...

    async def start(self) -> None:
        """Begin to take votes. It does not wait for the server they come from: that one may be down."""
        ...

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Take no more, wait for the outcome of what was submitted, and give the rest back. Idempotent."""
        ...

    def pause(self) -> None:
        """Take no more until `resume`. What was taken before is still counted and finished."""
        ...

    def resume(self) -> None: ...

    def status(self) -> Mapping[str, Any]:
        """For `/status`, under the source's name: the metrics, and all that helps to see why votes do not arrive."""
        ...
