"""What a sink offers besides `Sink` when its documents can be compared with the cluster's tallies: `quorate audit`.

A sink that cannot read single documents is not audited, and the audit says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from quorate.sinks.sink import PollDocument, Sink


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """What stands in a sink under a poll's id, and what the sink itself knows of it.

    Without a cluster, people put it there. `document` is None if it cannot be read as a tally: `why` says why not.
    """

    cluster: str | None
    fence: str | None
    document: PollDocument | None = None
    total: object = None  # as it stands there, beside the results
    edited: bool = False  # its content is not what was written under its fence
    why: str = ""


@runtime_checkable
class AuditableSink(Sink, Protocol):
    def look_at(self, polls: Mapping[str, Sequence[str]], *, timeout_s: float) -> dict[str, FoundDocument]:
        """What stands there of these polls, each given with its options by now. Those without a document are left out.

        Nothing is changed. Raises `SinkError`.
        """
        ...

    def ids_of(self, cluster_id: str, *, timeout_s: float) -> list[str]:
        """The polls of which this cluster has written documents, but for those that are marked as deleted.

        Adopted documents that this cluster never wrote are left out: they are of polls that only the other cluster had.
        Raises `SinkError`.
        """
        ...
