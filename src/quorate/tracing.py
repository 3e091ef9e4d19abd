"""Requests that are traced: what happened to each, and when. The rooms note it here; `otel_traces.py` sends it on.

A traced request is in `REQUEST` while it is answered, so whoever works for it may note a step. Nearly all requests are
not traced: then this costs the rooms a look at a variable. All times are those of `time.perf_counter`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

Attribute = str | int


@dataclass(frozen=True, slots=True)
class TracedStep:
    name: str  # wait, forward, propose, sync, commit, apply
    began_s: float
    ended_s: float
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    inner: list[TracedStep] = field(default_factory=list)  # what another node did meanwhile


@dataclass(slots=True, eq=False)
class RequestTrace:
    began_s: float
    parent: str = ""  # the header `traceparent` of the request, if it has one
    joined_s: float = 0.0  # when it joined the batch that waits for its turn
    steps: list[TracedStep] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class EntrySteps:
    """When an entry with traced requests was synced on this disk and applied. The replica notes it."""

    synced_s: float | None = None
    applied_s: tuple[float, float] | None = None  # from, until


REQUEST: ContextVar[RequestTrace | None] = ContextVar("quorate_request", default=None)
ENTRY: ContextVar[EntrySteps | None] = ContextVar("quorate_entry", default=None)  # while it is proposed


class Tracer(Protocol):
    """Called on the loop; returns at once."""

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> RequestTrace | None:
        """None: this request is not traced."""
        ...

    def end(self, trace: RequestTrace, route: str, status: int) -> None:
        """It was answered."""
        ...

    def end_command(self, trace: RequestTrace, command: str, votes: int, error: str) -> None:
        """So many votes that clients of Redis sent together were answered. `error`: its kind, or nothing."""
        ...
