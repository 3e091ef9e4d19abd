"""What the sinks that keep a document for each poll have in common, whatever database they are on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from quorate.sinks.fencing import LOWEST
from quorate.sinks.importable import MANUAL_POLLS_MAX, ManualPoll, Unreadable
from quorate.sinks.sink import Fence
from quorate.vote import YEAR_9999_MS


def sort_manual_polls(read: Iterable[ManualPoll | Unreadable]) -> tuple[list[ManualPoll], list[Unreadable]]:
    """The answer of `find`: stops reading at the limit of polls, so that unreadable documents hide no poll."""
    polls: list[ManualPoll] = []
    unreadable: list[Unreadable] = []
    for poll in read:
        if isinstance(poll, ManualPoll):
            polls.append(poll)
        elif len(unreadable) < MANUAL_POLLS_MAX:
            unreadable.append(poll)
        if len(polls) == MANUAL_POLLS_MAX:
            break
    return polls, unreadable


def stored_fence(text: object) -> Fence:
    """The fence of a stored document. A text that was edited into nonsense is lower than every fence."""
    try:
        return Fence.parse(str(text))
    except ValueError:
        return LOWEST


def date_of(unix_ms: int) -> datetime:
    """Databases and Python know no year beyond 9999."""
    return datetime.fromtimestamp(min(unix_ms, YEAR_9999_MS) / 1000, UTC)


def unix_ms_of(date: datetime) -> int:
    return round(date.timestamp() * 1000)
