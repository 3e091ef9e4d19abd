"""What a sink offers besides `Sink` when it can note that a poll was deleted in the cluster.

Where people can put polls by hand, a document of a deleted poll that is not marked could be taken for a new poll. A
sink that takes nothing in needs none of it: its documents stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from quorate.sinks.sink import Fence, Sink

DELETED = "deleted"  # the state that the document of a deleted poll shows


@runtime_checkable
class DeletableSink(Sink, Protocol):
    def mark_deleted(
        self, polls: Mapping[str, int], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> Collection[str]:
        """Mark the documents of these deleted polls. `polls` has the number of the creation that was deleted.

        The document keeps its last tally, and the ledger says that it is deleted, also if there is no document. A
        hand-made document is marked too, unless the ledger said so before: then people put it there afterwards. A
        document of a later creation, or with a newer fence, stays as it is.

        Returns those that are marked now, or have a later creation. Durable on return. Raises `SinkError`.
        """
        ...
