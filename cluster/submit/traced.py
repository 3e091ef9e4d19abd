"""Notes for traced requests how their batch waited, and how its entry was proposed, synced, committed and applied.

For batches without traced requests, which are nearly all, nothing is noted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

from quorate.cluster.fsm import Applied
from quorate.cluster.replica import Replica
from quorate.tracing import ENTRY, Attribute, EntrySteps, RequestTrace, TracedStep


def propose(replica: Replica, entry: bytes, traces: Sequence[RequestTrace]) -> asyncio.Future[Applied]:
    if not traces:
        return replica.propose(entry)
    began_s, steps = perf_counter(), EntrySteps()
    token = ENTRY.set(steps)
    try:
        proposal = replica.propose(entry)
    finally:
        ENTRY.reset(token)
    proposed_s = perf_counter()
    note_wait(traces, began_s)
    _note(traces, TracedStep("propose", began_s, proposed_s, {"quorate.entry_bytes": len(entry)}))
    # Before any other callback, so that the steps are noted when the requests are answered.
    proposal.add_done_callback(lambda done: _note_outcome(traces, steps, proposed_s, done))
    return proposal


def note_wait(traces: Sequence[RequestTrace], until_s: float) -> None:
    """They waited in a batch for their turn, or for a leader."""
    for trace in traces:
        trace.steps.append(TracedStep("wait", trace.joined_s, until_s))


def note_forward(traces: Sequence[RequestTrace], began_s: float, leader: str) -> None:
    """The leader answered. What it did is its own to tell."""
    _note(traces, TracedStep("forward", began_s, perf_counter(), {"quorate.leader": leader}))


def _note_outcome(
    traces: Sequence[RequestTrace], steps: EntrySteps, proposed_s: float, done: asyncio.Future[Applied]
) -> None:
    if steps.synced_s is not None:
        _note(traces, TracedStep("sync", proposed_s, steps.synced_s))
    if done.cancelled() or (error := done.exception()) is not None:
        why = "cancelled" if done.cancelled() else type(error).__name__
        _note(traces, TracedStep("commit", proposed_s, perf_counter(), {"error.type": why}))
    elif steps.applied_s is not None:
        began_s, ended_s = steps.applied_s
        version: dict[str, Attribute] = {"quorate.version": done.result().version}
        _note(traces, TracedStep("commit", proposed_s, began_s))
        _note(traces, TracedStep("apply", began_s, ended_s, version))


def _note(traces: Sequence[RequestTrace], step: TracedStep) -> None:
    for trace in traces:
        trace.steps.append(step)
