"""What the client answers with. A node of a later version may say more than these fields; that is passed over."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

__all__ = [
    *("PollHistoryGap", "LeaderInfo", "NodeInfo", "PollDeleted", "PollHistory", "PollInfo", "PollResults", "Tallied"),
]


class PollResults(msgspec.Struct, frozen=True):
    """A poll's tally at one version of the cluster's state. It was true at most `age_ms` ago (2^53-1: not known).

    `level` and `age_ms` are not told by events.
    """

    id: str
    state: str
    results: dict[str, int]
    total: int
    version: int
    level: str = ""
    age_ms: int = 0


class PollHistoryGap(msgspec.Struct, frozen=True, rename={"begin": "from", "end": "to"}):
    """The node knows nothing of the time between these moments."""

    begin: datetime
    end: datetime


class PollHistory(msgspec.Struct, frozen=True, rename={"begin": "from", "end": "to"}):
    """How a poll's tally changed, as `node` has recorded it for itself. None in `totals` and `options`: not known.

    `options` has those that were among the biggest ten. `kept_from`: nothing is kept from before.
    """

    id: str
    node: str
    begin: datetime
    end: datetime
    step_s: int
    totals: list[int | None]
    options: dict[str, list[int | None]]
    kept_from: datetime | None = None
    gaps: list[PollHistoryGap] = []

    @property
    def moments(self) -> list[datetime]:
        """The times of the totals."""
        return [self.begin + timedelta(seconds=self.step_s * place) for place in range(len(self.totals))]


class PollDeleted(msgspec.Struct, frozen=True):
    """An event: the poll was deleted. `creation` tells which poll of the name it was, where that is still known."""

    id: str
    version: int
    creation: int | None = None


class PollInfo(msgspec.Struct, frozen=True):
    """A poll's definition. `creation` tells it from another poll that has, had or will have its id."""

    id: str
    state: str
    title: str = ""
    options: list[str] = []
    write_ins: bool = False
    closes_at: str | None = None
    creation: int = 0
    version: int = 0


class LeaderInfo(msgspec.Struct, frozen=True):
    """`raft` is empty where the token may not see it."""

    id: str
    http: str
    term: int
    raft: str = ""


class NodeInfo(msgspec.Struct, frozen=True):
    """A member, as the asked node sees it. One that is not `reachable` has only its addresses."""

    id: str
    http: str
    reachable: bool
    raft: str = ""
    role: str = ""
    term: int = 0
    version: int = 0
    log_index: int = 0
    lag: int = 0
