"""What a scrape reads of a node, taken on the loop at one moment, so that a thread can render it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quorate.http.counts import Counts
from quorate.measures import Measures


@dataclass(frozen=True, slots=True)
class Observation:
    """The counts and histograms go on while they are rendered: their numbers may be from slightly different moments."""

    status: Mapping[str, Any]  # as GET /status has it
    counts: Counts = field(default_factory=Counts)
    measures: Measures = field(default_factory=Measures)
    refused: Mapping[str, int] = field(default_factory=dict)  # callers that were refused, by why
    checks: Mapping[str, bool] = field(default_factory=dict)  # each line of /readyz
    is_stranger: bool = False  # who asks is told no cluster id, as in /status
