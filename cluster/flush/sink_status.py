"""What a node says of one sink: a part of /status, with the names of its JSON. Its numbers are for /metrics too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict


class ImportStatus(TypedDict):
    """Of the polls that people put into the sink by hand."""

    imported: int  # since this node started
    searches: int  # since this node started
    left_alone: int
    problems: Mapping[str, str]  # poll id -> why its document is left alone; not all of them if there are many


class DeviationStatus(TypedDict):
    """Of what stood in the sink and was not what had been written there."""

    edited: int  # documents that were written over, since this node started
    lost: int  # how often the sink had lost what was written to it
    deleted: int  # documents that are not brought back
    polls: Sequence[str]  # whose documents were edited; not all of them if there are many
    last: str | None  # what was told last, and what to do
    last_age_s: float | None  # since something was found last


# `import` is a word of Python, so this cannot be written as a class.
SinkStatus = TypedDict(
    "SinkStatus",
    {
        "sink": str,
        "phase": str,
        "caught_up": bool,
        "last_success_age_s": float | None,
        "last_success_version": int | None,
        "last_success_took_s": float | None,
        "lag_versions": int | None,  # None: this node does not lead
        "pending_polls": int,
        "last_error": str | None,
        "last_error_age_s": float | None,
        "flushes": int,
        "failures": int,
        "documents": Mapping[str, int],  # how many had which outcome
        "deviations": DeviationStatus,
        "import": ImportStatus | None,  # None: the sink does not import
    },
)
