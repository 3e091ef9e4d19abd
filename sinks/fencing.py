"""Which document may be written over: one rule for all sinks, pure.

Under a poll's id a sink stores nothing, a document of some cluster with its fence, or a document put there by hand.

- A cluster writes over its own older documents.
- It writes where nothing is stored, but once in a generation: the ledger tells that a missing document was deleted.
- It writes over a hand-made document only if that holds exactly the results that the poll was imported with (options
  without votes may have been added), and this cluster never wrote the poll there. A document that was deleted and put
  there again may hold votes that are counted already.

What stood there and was not what had been written is told apart by the outcome, so that it can be told: an edited
document is written over (EDITED), also under its own fence, because a fence stands for one content. If a document is
gone and the ledger does not know it, or if it is older than what this leadership wrote there, the sink has lost what it
had acknowledged (RESTORED): it was dropped, or an old copy was put back.

Another poll may have had the id before: each creation has its number. Its document is written over, and nothing is kept
of it. What a leader that was deposed meanwhile writes of a deleted poll is not brought back.

With several sinks a poll is imported from one of them. In the others nothing is stored under its id, so it is written
there as any poll of the cluster. A hand-made document of that id in another sink is written over only if it holds the
very results of the import: then nothing in it is uncounted. With other results it is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quorate.sinks.importable import ManualPoll, Unreadable
from quorate.sinks.sink import Fence, PollDocument, WriteOutcome

LOWEST = Fence(0, 0, 0)  # of adopted documents: any flush is newer


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What a sink stores under an id.

    Without a cluster it was put there by hand, and `by_hand` is what it says. With a cluster and `by_hand` it was
    claimed for that cluster, and its results are still those that people put there.
    """

    cluster: str | None
    fence: str | None
    by_hand: ManualPoll | Unreadable | None = None
    edited: bool = False  # its content is not what was written under its fence
    creation: int = 0  # of the cluster's poll that it is of


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What a sink remembers of the polls of one id that this cluster had: the last one."""

    generation: int | None  # in which it was last written; None: it never was
    creation: int = 0
    deleted: bool = False

    def covers(self, creation: int) -> bool:
        """Whether this creation is known to be deleted, or over."""
        return self.creation > creation or (self.creation == creation and self.deleted)


def generation_of(row: LedgerRow | None, document: PollDocument, fence: Fence) -> int | None:
    """What `judge` is told of the ledger: the generation in which this very poll was last written."""
    if row is None:
        return None
    if row.covers(document.creation):
        return fence.generation
    return row.generation if row.creation == document.creation else None


def judge(
    document: PollDocument, fence: Fence, cluster_id: str, stored: StoredDocument | None, *, ledger: int | None
) -> WriteOutcome:
    """WRITTEN, EDITED or RESTORED if `document` may take the place of `stored`, otherwise why not.

    `ledger` is the generation in which this cluster last wrote the poll to this sink, None if it never did.
    """
    before = document.written_as
    if stored is None:
        if ledger == fence.generation:
            return WriteOutcome.GONE
        return WriteOutcome.WRITTEN if before is None else WriteOutcome.RESTORED
    if stored.cluster is None:
        hand_made = _judge_by_hand(document.initial_results, stored.by_hand)
        return hand_made if ledger is None else WriteOutcome.REPLACED
    if stored.cluster != cluster_id:
        return WriteOutcome.FOREIGN
    if (stored.fence or "") > str(fence):
        return WriteOutcome.NEWER
    if stored.creation == document.creation and (stored.edited or _is_edited_claim(document, stored)):
        return WriteOutcome.EDITED
    if stored.fence == str(fence) and stored.creation == document.creation:
        return WriteOutcome.SAME
    # It may be newer than what is known to have been written: the answer of a write can be lost.
    return WriteOutcome.RESTORED if before is not None and (stored.fence or "") < before else WriteOutcome.WRITTEN


MAY_WRITE = frozenset((WriteOutcome.WRITTEN, WriteOutcome.EDITED, WriteOutcome.RESTORED))


def deviates(stored: StoredDocument | None, fence: str | None, cluster_id: str) -> bool:
    """Whether this is not what was written last: under `fence`, or deleted since (None)."""
    if stored is None or fence is None:
        return stored is not None or fence is not None
    return stored.edited or (stored.cluster, stored.fence) != (cluster_id, fence)


def may_have_additions(document: PollDocument, stored: StoredDocument) -> bool:
    """Whether options that stand there, and are none of the poll's, were added by hand: see `added_options.py`."""
    is_of_another = stored.cluster is not None and stored.creation != document.creation
    return not document.write_ins and not is_of_another and (stored.cluster is None or stored.fence != str(LOWEST))


def _is_edited_claim(document: PollDocument, stored: StoredDocument) -> bool:
    if stored.by_hand is None:
        return False
    return _judge_by_hand(document.initial_results, stored.by_hand) is not WriteOutcome.WRITTEN


def _judge_by_hand(initial_results: Mapping[str, int] | None, by_hand: ManualPoll | Unreadable | None) -> WriteOutcome:
    if initial_results is None:
        return WriteOutcome.TAKEN
    same = isinstance(by_hand, ManualPoll) and _is_same(by_hand.results, initial_results)
    return WriteOutcome.WRITTEN if same else WriteOutcome.CHANGED


def _is_same(results: Mapping[str, int], initial_results: Mapping[str, int]) -> bool:
    """Options may have been added since the import. They start from zero, and the write keeps them."""
    if not initial_results.keys() <= results.keys():
        return False
    return all(count == initial_results.get(option, 0) for option, count in results.items())
