"""Who may write over what: one rule for all sinks, pure.

What stands in a sink under a poll's id is nothing, a document of some cluster under its fence, or a document put there
by hand. A cluster writes over its own older documents, over nothing (once in a generation: the ledger), and over a
hand-made document only if it was imported, still holds the results it was imported with, and never was ours before: one
that was deleted and put there again may hold votes that the cluster has counted already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quorate.sinks.sink import Fence, FoundPoll, PollDocument, Unreadable, Written

LOWEST = Fence(0, 0, 0)  # of adopted documents: any flush is newer


@dataclass(frozen=True, slots=True)
class Standing:
    """What a sink holds under an id. Without a cluster it was put there by hand and `by_hand` says how it reads."""

    cluster: str | None
    fence: str | None
    by_hand: FoundPoll | Unreadable | None = None


def judge(
    document: PollDocument, fence: Fence, cluster_id: str, standing: Standing | None, *, ledger: int | None
) -> Written:
    """WRITTEN if `document` may take the place of `standing`, else why not.

    `ledger` is the generation in which this cluster last wrote the poll here, if it ever did.
    """
    if standing is None:
        return Written.GONE if ledger == fence.generation else Written.WRITTEN
    if standing.cluster is None:
        return Written.TAKEN if ledger is not None else _judge_by_hand(document.imported, standing.by_hand)
    if standing.cluster != cluster_id:
        return Written.FOREIGN
    if standing.fence == str(fence):
        return Written.SAME
    return Written.NEWER if (standing.fence or "") > str(fence) else Written.WRITTEN


def _judge_by_hand(imported: Mapping[str, int] | None, by_hand: FoundPoll | Unreadable | None) -> Written:
    if imported is None:
        return Written.TAKEN
    same = isinstance(by_hand, FoundPoll) and dict(by_hand.results) == dict(imported)
    return Written.WRITTEN if same else Written.CHANGED
