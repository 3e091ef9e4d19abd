"""What all clients of a run share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.chaos.workload.exchange import AskedNode
from quorate.chaos.workload.ledger import Ledger
from quorate.chaos.workload.plan import RunPolls
from quorate.chaos.workload.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Scene:
    nodes: Sequence[AskedNode]
    polls: RunPolls
    recorder: Recorder
    ledger: Ledger
