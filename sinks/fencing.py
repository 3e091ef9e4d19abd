"""Who may write over what: one rule for all sinks, pure.

What stands in a sink under a poll's id is nothing, a document of some cluster under its fence, or a document put there
by hand. A cluster writes over its own older documents, over nothing (once in a generation: the ledger), and over a
hand-made document only if it was imported, still holds the results it was imported with, and never was ours before: one
that was deleted and put there again may hold votes that the cluster has counted already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quorate.sinks.sink import Fence, ManualPoll, PollDocument, Unreadable, WriteOutcome

LOWEST = Fence(0, 0, 0)  # of adopted documents: any flush is newer


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What a sink holds under an id. Without a cluster it was put there by hand and `by_hand` says how it reads."""

    cluster: str | None
    fence: str | None
    by_hand: ManualPoll | Unreadable | None = None


def judge(
    document: PollDocument, fence: Fence, cluster_id: str, stored: StoredDocument | None, *, ledger: int | None
) -> WriteOutcome:
    """WRITTEN if `document` may take the place of `stored`, else why not.

    `ledger` is the generation in which this cluster last wrote the poll here, if it ever did.
    """
    if stored is None:
        return WriteOutcome.GONE if ledger == fence.generation else WriteOutcome.WRITTEN
    if stored.cluster is None:
        return WriteOutcome.TAKEN if ledger is not None else _judge_by_hand(document.initial_results, stored.by_hand)
    if stored.cluster != cluster_id:
        return WriteOutcome.FOREIGN
    if stored.fence == str(fence):
        return WriteOutcome.SAME
    return WriteOutcome.NEWER if (stored.fence or "") > str(fence) else WriteOutcome.WRITTEN


def _judge_by_hand(initial_results: Mapping[str, int] | None, by_hand: ManualPoll | Unreadable | None) -> WriteOutcome:
    if initial_results is None:
        return WriteOutcome.TAKEN
    same = isinstance(by_hand, ManualPoll) and dict(by_hand.results) == dict(initial_results)
    return WriteOutcome.WRITTEN if same else WriteOutcome.CHANGED
