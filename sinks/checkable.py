"""What a sink offers besides `Sink` when it can tell whether what it stores is still what was written.

A sink that cannot read is only written to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from quorate.sinks.sink import Sink


@runtime_checkable
class CheckableSink(Sink, Protocol):
    def deviations(self, written: Mapping[str, str | None], cluster_id: str, *, timeout_s: float) -> Collection[str]:
        """Which of these polls are not stored as they were written: they are missing, older, or were edited.

        `written` has each poll with the fence under which it was written last, or None if its document was deleted:
        that one is told if there is a document again. Nothing is changed: the next `write`
        of such a poll decides what it means. Raises `SinkError`.
        """
        ...
