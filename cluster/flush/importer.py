"""Polls that people put into the sink by hand, on their way into the log.

Two steps, so that a crash between them loses and doubles nothing: the leader proposes each poll with the results it was
found with, and the flush that follows fences the document only if it still holds them. If the sink says that it does
not, the poll is proposed again with what stands there now, which moves its starting results and leaves its votes. A
document that makes no sense, or that carries the id of a poll which is no import, is reported once and left alone.

On the flusher's thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from quorate.cluster.entry import CreatePoll, PollResult, Result
from quorate.sinks.sink import MANUAL_POLLS_MAX, ManualPoll, Sink, WriteOutcome

PROPOSAL_BYTES = 1024 * 1024  # of option text and such, about, in one entry; a bigger poll has one for itself
SHOWN_MAX = 20  # problems in /status

Known = Callable[[Sequence[str]], Mapping[str, Mapping[str, int] | None]]
Propose = Callable[[list[CreatePoll]], list[Result]]

log = logging.getLogger(__name__)


class Importer:
    def __init__(self, sink: Sink, *, refresh_s: float) -> None:
        self._sink, self._refresh_s = sink, refresh_s
        self._due_s = 0.0  # monotonic
        self._imported = 0
        self._problems: dict[str, str] = {}  # id -> why it is left alone
        self._refused: dict[str, WriteOutcome] = {}  # hand-made documents that the flush could not write over

    def check_soon(self) -> None:
        self._due_s = 0.0

    def refused(self, id: str, outcome: WriteOutcome) -> None:
        """The flush could not write over a document put there by hand: `CHANGED` or `TAKEN`."""
        self._refused[id] = outcome
        if outcome is WriteOutcome.CHANGED or id not in self._problems:
            self.check_soon()

    def check_if_due(self, known: Known, propose: Propose, timeout_s: float) -> Sequence[str]:
        """The polls that the flush may try to write now. Raises what the sink and the proposals raise."""
        if not self._sink.touched(timeout_s=timeout_s) and time.monotonic() < self._due_s:
            return ()
        found, unreadable = self._sink.find(timeout_s=timeout_s)
        problems = {document.id: document.why for document in unreadable}
        claims = self._import(found, known, propose, problems) if found else []
        freed = self._refused.keys() - {poll.id for poll in found} - problems.keys()
        for id in freed:
            del self._refused[id]
        self._report(problems)
        # There may be more behind a full look; not at once if it would only find again what is left alone.
        more = len(found) == MANUAL_POLLS_MAX and not problems.keys() >= set(claims)
        self._due_s = 0.0 if more else time.monotonic() + self._refresh_s
        return [*claims, *freed]

    def status(self) -> Mapping[str, Any]:
        problems = list(self._problems.items())
        return {"imported": self._imported, "left_alone": len(problems), "problems": dict(problems[:SHOWN_MAX])}

    def _import(
        self, found: Sequence[ManualPoll], known: Known, propose: Propose, problems: dict[str, str]
    ) -> list[str]:
        in_cluster = known([poll.id for poll in found])
        new, claims = [], []
        for poll in found:
            outcome = self._refused.pop(poll.id, None)
            if poll.id not in in_cluster or (outcome is WriteOutcome.CHANGED and in_cluster[poll.id] != poll.results):
                new.append(poll)
                continue
            if in_cluster[poll.id] is None or outcome is WriteOutcome.TAKEN:
                problems[poll.id] = "the cluster has a poll of this id that did not come from it; give it another id"
            claims.append(poll.id)  # the sink knows best
        for group in _groups(new):
            results = propose([_command(poll) for poll in group])
            for poll, result in zip(group, results, strict=True):
                if self._taken_in(poll, result, problems):
                    claims.append(poll.id)
        return claims

    def _taken_in(self, poll: ManualPoll, result: Result, problems: dict[str, str]) -> bool:
        what = result.what if isinstance(result, PollResult) else "refused"
        if what in ("created", "changed"):
            self._imported += 1
            log.info("poll %r was found in %s and is %s", poll.id, self._sink.name, _AS[what])
            return True
        if what == "same":
            self._refused[poll.id] = WriteOutcome.CHANGED
            problems[poll.id] = "it is not what was imported, and not by its results alone; put its options back"
        else:
            problems[poll.id] = f"the cluster refuses it: {getattr(result, 'detail', '')}"
        return False

    def _report(self, problems: dict[str, str]) -> None:
        for id, why in problems.items():
            if self._problems.get(id) != why:
                log.warning("the document %r in %s is left alone: %s", id, self._sink.name, why)
        self._problems = problems


_AS = {"created": "imported", "changed": "imported again: its results had been changed meanwhile"}


def _groups(polls: Sequence[ManualPoll]) -> Iterator[list[ManualPoll]]:
    """What goes into one entry."""
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


def _command(poll: ManualPoll) -> CreatePoll:
    initial_results = [poll.results[option] for option in poll.options]
    return CreatePoll(poll.id, poll.title, list(poll.options), poll.state, None, False, initial_results, imported=True)
