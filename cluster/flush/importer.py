"""Polls that people put into one sink by hand, on their way into the log.

There are two steps, so that a crash between them loses and doubles nothing. First the leader proposes each poll with
the results it was found with. Then the next flush fences the document, but only if it still holds these results. If the
sink says that it does not, the poll is proposed again with what is stored now: this moves its initial results and
leaves its votes. A document that makes no sense, or that has the id of a poll that did not come from it, is reported
once and left alone.

On the flusher's thread, but for `want`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from quorate.cluster.flush.imports import Import, Imported
from quorate.cluster.flush.sink_status import ImportStatus
from quorate.sinks.importable import MANUAL_POLLS_MAX, ImportableSink, ManualPoll
from quorate.sinks.sink import WriteOutcome

LOOK_EVERY_S = 2.0  # at most so often is the sink searched because a vote named an option or a poll that nobody knows
PROPOSAL_BYTES = 1024 * 1024  # of option text and such, about, in one entry; a bigger poll has an entry of its own
SHOWN_MAX = 20  # problems in /status

Known = Callable[[Sequence[str]], Mapping[str, Mapping[str, int] | None]]
TakeIn = Callable[[list[ManualPoll]], list[Imported]]
AddOptions = Callable[[dict[str, str]], Sequence[str]]  # see `Additions.take_in`

log = logging.getLogger(__name__)


class Importer:
    def __init__(self, sink: ImportableSink) -> None:
        self._sink = sink
        self._due_s = 0.0  # monotonic
        self._searched_s = 0.0  # when the last search began, monotonic
        self._wanted = False  # set on the loop: a vote named what nobody knows
        self._hurried_s = 0.0  # when `want` last said yes, monotonic
        self._searches = 0
        self._imported = 0
        self._problems: dict[str, str] = {}  # id -> why the document is left alone
        self._refused: dict[str, WriteOutcome] = {}  # hand-made documents that the flush could not write over

    def check_soon(self) -> None:
        self._due_s = 0.0

    def want(self) -> bool:
        """On the loop: a vote named an option or a poll that nobody knows, and people may just have put it there.

        The answer is whether the sink shall be searched for it now. Otherwise it was searched a moment ago, or that was
        tried and the sink is down, and a flush after `LOOK_EVERY_S` does it.
        """
        self._wanted = True
        now_s = time.monotonic()
        if now_s - self._hurried_s < LOOK_EVERY_S or not self._may_search():
            return False
        self._hurried_s = now_s
        return True

    def _may_search(self) -> bool:
        return time.monotonic() - self._searched_s >= LOOK_EVERY_S

    def refused(self, id: str, outcome: WriteOutcome) -> None:
        """The flush could not write over a document put there by hand: `CHANGED`, `TAKEN` or `REPLACED`."""
        self._refused[id] = outcome
        if outcome is WriteOutcome.CHANGED or id not in self._problems:
            self.check_soon()

    def check_if_due(self, known: Known, take_in: TakeIn, add: AddOptions, timeout_s: float) -> Sequence[str]:
        """Take in what was put there. Returns the polls that the flush may try to write now.

        `add` takes in the options that were added to documents of the cluster.
        Raises what the sink and the proposals raise.
        """
        due_s, self._due_s = self._due_s, 0.0  # at once again if anything here fails: `touched` tells of a poll once
        touched = self._sink.touched(timeout_s=timeout_s)
        if not touched and not (self._wanted and self._may_search()) and time.monotonic() < due_s:
            self._due_s = due_s
            return ()
        # Before the search begins: what is wanted from now on may come into the sink after it.
        self._wanted, self._searched_s = False, time.monotonic()
        self._searches += 1
        manual_polls, unreadable = self._sink.find(timeout_s=timeout_s)
        problems = {document.id: document.why for document in unreadable}
        claims = self._import(manual_polls, known, take_in, problems) if manual_polls else []
        claims += add(problems)
        freed = self._refused.keys() - {poll.id for poll in manual_polls} - problems.keys()
        for id in freed:
            del self._refused[id]
        self._report(problems)
        # A full answer may have more behind it. It is not asked for at once if it would only bring the same documents.
        more = len(manual_polls) == MANUAL_POLLS_MAX and not problems.keys() >= set(claims)
        self._due_s = 0.0 if more else time.monotonic() + self._sink.refresh_s
        return [*claims, *freed]

    def status(self) -> ImportStatus:
        problems = list(self._problems.items())
        return {
            "imported": self._imported,
            "searches": self._searches,
            "left_alone": len(problems),
            "problems": dict(problems[:SHOWN_MAX]),
        }

    def _import(
        self, manual_polls: Sequence[ManualPoll], known: Known, take_in: TakeIn, problems: dict[str, str]
    ) -> list[str]:
        in_cluster = known([poll.id for poll in manual_polls])
        new, claims = [], []
        for poll in manual_polls:
            outcome = self._refused.pop(poll.id, None)
            if poll.id not in in_cluster or (outcome is WriteOutcome.CHANGED and in_cluster[poll.id] != poll.results):
                new.append(poll)
                continue
            if outcome in _WHY:
                problems[poll.id] = _WHY[outcome]
            claims.append(poll.id)  # the sink decides whether the document may be written over
        for group in _groups(new):
            for poll, imported in zip(group, take_in(group), strict=True):
                if self._may_be_written(poll, imported, problems):
                    claims.append(poll.id)
        return claims

    def _may_be_written(self, poll: ManualPoll, imported: Imported, problems: dict[str, str]) -> bool:
        outcome = imported.outcome
        if outcome in _AS:
            self._imported += 1
            log.info("poll %r was found in %s and is %s", poll.id, self._sink.name, _AS[outcome])
            return True
        if outcome is Import.KNOWN:
            return True
        if outcome is Import.REFUSED:
            problems[poll.id] = f"the cluster refuses it: {imported.detail}"
            return False
        self._refused[poll.id] = WriteOutcome.CHANGED
        if outcome is Import.DIFFERENT:
            problems[poll.id] = "it is not what was imported, and not by its results alone; put its options back"
        elif outcome is Import.UNCERTAIN:
            problems[poll.id] = (
                f"a poll of this id was imported with other results ({imported.detail}). If this is that poll, put "
                "these results back, and it is counted on from them; if it is another poll, give it another id"
            )
        else:
            problems[poll.id] = f"the cluster imported a poll of this id from {imported.detail}; give it another id"
        return False

    def _report(self, problems: dict[str, str]) -> None:
        for id, why in problems.items():
            if self._problems.get(id) != why:
                log.warning("the document %r in %s is left alone: %s", id, self._sink.name, why)
        self._problems = problems


_WHY: dict[WriteOutcome | None, str] = {
    WriteOutcome.TAKEN: "the cluster has a poll of this id that did not come from it; give it another id",
    WriteOutcome.REPLACED: (
        "it took the place of the cluster's own document of this poll, and its numbers may be counted already. Give it "
        "another id, and `quorate sink adopt` writes the cluster's own again"
    ),
}
_AS = {
    Import.CREATED: "imported",
    Import.CHANGED: "imported again: its results had been changed meanwhile",
}


def _groups(polls: Sequence[ManualPoll]) -> Iterator[list[ManualPoll]]:
    """The polls that go into one entry together."""
    group: list[ManualPoll] = []
    size = 0
    for poll in polls:
        weight = 64 + len(poll.title) * 4 + sum(len(option.encode()) + 12 for option in poll.options)
        if group and size + weight > PROPOSAL_BYTES:
            yield group
            group, size = [], 0
        group.append(poll)
        size += weight
    if group:
        yield group
