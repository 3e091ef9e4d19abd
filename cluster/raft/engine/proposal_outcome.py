"""What can become of a proposal, and how its proposer is told."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any


class ProposalOutcome(enum.Enum):
    """What became of a proposal. There is no fourth."""

    COMMITTED = "committed"  # in the term and at the index it was proposed at, and applied here
    NEVER = "never"  # another entry was committed at its index
    UNKNOWN = "unknown"  # a snapshot passed over it: it may be in there


OnOutcome = Callable[[Any, ProposalOutcome], None]  # the result of applying it, if it was committed
