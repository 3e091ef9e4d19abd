"""Which sink each poll was imported from, so that of two hand-made documents with one id only one is counted.

Several sinks may hold a hand-made document of the same id. The first import wins: its results become the poll's initial
results. A document in another sink with exactly these results is the same poll, and is written over. With other
results it is left alone. Only the sink from which the poll came may move its initial results, when they were changed
there before the document was fenced.

The log does not say which sink an import came from. So after a change of leaders the origin is not known here, and with
several sinks that import no initial results are moved then: the document is reported, and nothing is counted twice.
With one sink that imports, it must be the same on every node: a node with another one would take a document there for
the origin.

On the loop. The importers of all sinks propose through here, one proposal after the other, so that each sees what the
one before it made.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from quorate.cluster import entry
from quorate.cluster.entry import LEVEL_NEEDED, ChangePoll, CreatePoll, PollResult, Result
from quorate.cluster.replica import Replica
from quorate.crash_points import crash_point
from quorate.errors import NeedsLevel, NotReady
from quorate.sinks.importable import ManualPoll
from quorate.vote import POLLS_MAX

RESULTS_SHOWN = 10
DELETED_LATELY = (
    "a poll of this id was deleted lately, and this may be its document. Give it another id, or create the poll by "
    "`quorate polls create`; the id is taken in again when more votes were counted"
)


class Import(enum.Enum):
    """What became of one poll that was found in a sink."""

    CREATED = "created"
    CHANGED = "changed"  # its initial results were moved to those in the sink; the votes stay
    KNOWN = "known"  # the cluster has it already: the flush may try to write its document
    DIFFERENT = "different"  # it was imported, and this document differs by more than its results
    ELSEWHERE = "elsewhere"  # the cluster imported a poll of this id from another sink
    UNCERTAIN = "uncertain"  # it was imported with other results, and nobody knows any more from which sink
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Imported:
    outcome: Import
    detail: str = ""


class Imports:
    """Made on the loop, one for all sinks of a node. `sinks` are the names of those that import."""

    def __init__(self, replica: Replica, sinks: Sequence[str]) -> None:
        self._replica = replica
        self._several = len(sinks) > 1
        # Poll id -> the sink it came from, as far as this node knows, and the number of the creation that is meant.
        self._origins: dict[str, tuple[str, int]] = {}
        self._lock = asyncio.Lock()
        self._proposals: set[asyncio.Task[list[Imported]]] = set()

    async def take_in(self, sink: str, polls: Sequence[ManualPoll], sure: Callable[[], None]) -> list[Imported]:
        """Propose these polls of one sink, in this leadership or not at all: what an earlier one read may be old.

        `sure` raises if the leadership has ended. The caller may give up waiting. The next proposal still waits until
        the outcome of this one is known.
        """
        await self._lock.acquire()
        proposal = asyncio.get_running_loop().create_task(self._propose(sink, polls, sure))
        self._proposals.add(proposal)
        proposal.add_done_callback(self._done)
        return await asyncio.shield(proposal)

    async def add_options(self, changes: Sequence[ChangePoll], sure: Callable[[], None]) -> list[Imported]:
        """Propose these additions, in this leadership or not at all. CHANGED, KNOWN or REFUSED, and why."""
        try:
            self._replica.require_level(LEVEL_NEEDED[ChangePoll], "adding options to polls")
        except (NeedsLevel, NotReady) as error:
            return [Imported(Import.REFUSED, error.detail) for _ in changes]
        found = []
        for change in changes:  # one entry each: a poll may have megabytes of options
            sure()
            batch = entry.encode_batch([entry.Seen(self._replica.state.newest_again), change])
            applied = await self._replica.propose(entry.encode_entry(self._replica.now_ms(), [batch]))
            found.append(_added(applied.results[0][-1]))
        return found

    def _done(self, proposal: asyncio.Task[list[Imported]]) -> None:
        self._lock.release()
        self._proposals.discard(proposal)
        if not proposal.cancelled():
            proposal.exception()  # it is retrieved here if the caller gave up

    async def _propose(self, sink: str, polls: Sequence[ManualPoll], sure: Callable[[], None]) -> list[Imported]:
        sure()
        imported = {poll.id: self._without_proposal(sink, poll) for poll in polls}
        new = [poll for poll in polls if imported[poll.id] is None]
        if new:
            batch = entry.encode_batch([_command(poll) for poll in new])
            applied = await self._replica.propose(entry.encode_entry(self._replica.now_ms(), [batch]))
            crash_point("import-before-note")
            for poll, result in zip(new, applied.results[0], strict=True):
                imported[poll.id] = found = _imported(result)
                if found.outcome is Import.CREATED and isinstance(result, PollResult):
                    self._note_origin(poll.id, sink, result.creation)
        return [found for found in imported.values() if found is not None]

    def _note_origin(self, id: str, sink: str, creation: int) -> None:
        """When there are more than there can be polls, those of polls that were deleted since are dropped."""
        self._origins[id] = sink, creation
        if len(self._origins) > POLLS_MAX:
            held = self._replica.state.poll_version
            self._origins = {id: origin for id, origin in self._origins.items() if held(id) is not None}

    def _without_proposal(self, sink: str, poll: ManualPoll) -> Imported | None:
        """What is known of the poll without asking the log; None if it must be proposed."""
        state = self._replica.state
        known = state.poll(poll.id)
        if known is None:
            return None if state.tombstone(poll.id) is None else Imported(Import.REFUSED, DELETED_LATELY)
        initial_results = state.initial_results(poll.id)
        if initial_results is None or initial_results == dict(poll.results):
            return Imported(Import.KNOWN)
        origin, creation = self._origins.get(poll.id, ("", 0))
        if not self._several:
            return None
        if not origin or creation != known.creation:
            return Imported(Import.UNCERTAIN, _in_words(initial_results))
        return None if origin == sink else Imported(Import.ELSEWHERE, origin)


def _in_words(results: Mapping[str, int]) -> str:
    """The results, or the first of many."""
    some = [f"{option!r}: {count:,}" for option, count in islice(results.items(), RESULTS_SHOWN)]
    return ", ".join(some) + (f" and {len(results) - len(some):,} more" if len(results) > len(some) else "")


def _imported(result: Result) -> Imported:
    what = result.what if isinstance(result, PollResult) else "refused"
    if what == "created":
        return Imported(Import.CREATED)
    if what == "changed":
        return Imported(Import.CHANGED)
    if what == "same":
        return Imported(Import.DIFFERENT)
    return Imported(Import.REFUSED, getattr(result, "detail", ""))


def _added(result: Result) -> Imported:
    what = result.what if isinstance(result, PollResult) else "refused"
    if what in ("changed", "same"):
        return Imported(Import.CHANGED if what == "changed" else Import.KNOWN)
    return Imported(Import.REFUSED, getattr(result, "detail", ""))


def _command(poll: ManualPoll) -> CreatePoll:
    initial_results = [poll.results[option] for option in poll.options]
    return CreatePoll(poll.id, poll.title, list(poll.options), poll.state, None, False, initial_results, imported=True)
