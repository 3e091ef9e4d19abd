"""The possible outcomes of a proposal, and how its proposer is told."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any


class ProposalOutcome(enum.Enum):
    """What became of a proposal. There is no fourth outcome."""

    COMMITTED = "committed"  # at the index and in the term it was proposed in, and applied here
    NEVER = "never"  # another entry was committed at its index
    UNKNOWN = "unknown"  # a snapshot replaced its part of the log: it may be in the snapshot


OnOutcome = Callable[[Any, ProposalOutcome], None]  # the result of applying it, if it was committed
