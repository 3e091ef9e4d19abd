"""What an audit answers, as it goes over HTTP."""

from __future__ import annotations

import msgspec


class Difference(msgspec.Struct, omit_defaults=True):
    """What a sink has and the cluster has not, or the other way round. `kind` is for programs, `words` for people."""

    poll: str
    kind: str
    words: str
    option: str | None = None
    cluster: int | str | None = None
    sink: int | str | None = None
    repaired: bool = False  # it was written again, and is right now


class Undecided(msgspec.Struct):
    poll: str
    why: str


class AuditedSink(msgspec.Struct, omit_defaults=True):
    """`why`: nothing can be told of this sink now."""

    sink: str
    documents: int = 0
    differences: list[Difference] = []
    undecided: list[Undecided] = []
    why: str | None = None


class AuditedPage(msgspec.Struct):
    """Of the polls up to `next`, or to the last one if that is null."""

    node: str
    term: int
    version: int
    polls: int
    sinks: list[AuditedSink]
    next: str | None
