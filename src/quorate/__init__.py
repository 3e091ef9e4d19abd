"""Quorate: a fault-tolerant clustered counter. Votes are counted exactly once by a Raft group.

For programs that use a cluster: `Client` and `AsyncClient`, described in docs/client.md. They are imported when they
are first asked for, so that a command that needs neither starts quickly.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers know better; `typing` takes longer to import than all the rest here
if TYPE_CHECKING:
    from quorate.client.answers import LeaderInfo as LeaderInfo
    from quorate.client.answers import NodeInfo as NodeInfo
    from quorate.client.answers import PollDeleted as PollDeleted
    from quorate.client.answers import PollHistory as PollHistory
    from quorate.client.answers import PollHistoryGap as PollHistoryGap
    from quorate.client.answers import PollInfo as PollInfo
    from quorate.client.answers import PollResults as PollResults
    from quorate.client.async_client import AsyncClient as AsyncClient
    from quorate.client.client import Client as Client
    from quorate.client.programs import TakenOver as TakenOver
    from quorate.client.programs import with_ids as with_ids
    from quorate.vote import Rejection as Rejection
    from quorate.vote import Tallied as Tallied
    from quorate.vote import Vote as Vote

__version__ = "0.2.0.dev0"

_PUBLIC = {
    "Client": "quorate.client.client",
    "AsyncClient": "quorate.client.async_client",
    "Vote": "quorate.vote",
    "Tallied": "quorate.vote",
    "Rejection": "quorate.vote",
    "PollResults": "quorate.client.answers",
    "PollHistory": "quorate.client.answers",
    "PollHistoryGap": "quorate.client.answers",
    "PollDeleted": "quorate.client.answers",
    "PollInfo": "quorate.client.answers",
    "LeaderInfo": "quorate.client.answers",
    "NodeInfo": "quorate.client.answers",
    "TakenOver": "quorate.client.programs",
    "with_ids": "quorate.client.programs",
}


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_PUBLIC[name]), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
