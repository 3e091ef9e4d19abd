"""What a client of this comparison needs of a system: one attempt to count one vote, and one read of a poll."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from quorate.chaos.history import Kind, SentVote

OPTIONS = ("a", "b", "c", "d")  # of each poll


@dataclass(slots=True)
class ToldOfVote:
    """`version`: etcd's revision or our version at which it counted. Redis tells none."""

    outcome: Kind
    error: str = ""
    duplicate: bool = False
    version: int | None = None


@dataclass(slots=True)
class ToldOfPoll:
    """`results` has the options that have votes."""

    outcome: Kind
    error: str = ""
    version: int | None = None
    results: dict[str, int] = field(default_factory=dict)


class VoteDoor(Protocol):
    """One client's way into a system. For one call at a time."""

    @property
    def node(self) -> str:
        """The node that is asked now, as far as the client knows."""

    async def cast(self, vote: SentVote) -> ToldOfVote:
        """One attempt, as a program would make it with this system's own client."""

    async def read(self, poll: str) -> ToldOfPoll:
        """The newest tallies, by the strictest read that the system offers."""

    def move(self) -> None:
        """After a failure: go to another node, where the client chooses nodes."""

    async def close(self) -> None: ...
