"""Notes for traced requests how their batch waited, and how its entry was proposed, synced, committed and applied.

For batches without traced requests, which are nearly all, nothing is noted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

from quorate.cluster.fsm import Applied
from quorate.cluster.replica import Replica
from quorate.cluster.submit.departures import LeaderStep
from quorate.tracing import ENTRY, Attribute, EntrySteps, RequestTrace, TracedStep

MICROS = 1_000_000
STEPS_MAX, NAME_MAX = 16, 32  # of what a leader tells


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


def note_forward(traces: Sequence[RequestTrace], began_s: float, leader: str) -> TracedStep:
    """The leader answered, or will not."""
    forward = TracedStep("forward", began_s, perf_counter(), {"quorate.leader": leader})
    _note(traces, forward)
    return forward


def note_leader(forward: TracedStep, leader: str, told: Sequence[LeaderStep]) -> None:
    """The leader traces, too, and told what it did.

    The clocks of two nodes differ. So its steps are put into the middle of the time that the answer took: half of what
    is left is the way there, and half the way back.
    """
    began_s, ended_s, told = forward.began_s, forward.ended_s, told[:STEPS_MAX]
    took_s = max((step.ended_us for step in told), default=0) / MICROS
    there_s = began_s + max(0.0, ended_s - began_s - took_s) / 2

    def moment_s(micros: int) -> float:
        return min(max(began_s, there_s + micros / MICROS), ended_s)

    for step in told:
        moments = moment_s(step.began_us), moment_s(step.ended_us)
        forward.inner.append(TracedStep(step.name[:NAME_MAX], *moments, {"quorate.node": leader}))


def steps_for(trace: RequestTrace) -> list[LeaderStep]:
    """What a follower is told of its batch."""
    came_s = trace.began_s
    return [
        LeaderStep(step.name, int((step.began_s - came_s) * MICROS), int((step.ended_s - came_s) * MICROS))
        for step in trace.steps
    ]


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
