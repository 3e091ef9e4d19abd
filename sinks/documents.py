"""What the sinks that keep a document for each poll have in common, whatever database they are on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from quorate.sinks.fencing import LOWEST
from quorate.sinks.importable import MANUAL_POLLS_MAX, ManualPoll, Unreadable
from quorate.sinks.sink import Fence
from quorate.vote import YEAR_9999_MS

_encode = msgspec.msgpack.Encoder(enc_hook=str).encode  # people put values of any kind into a document


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


def fence_text(stored: object) -> str | None:
    """The fence of a document of this cluster. What people edited into no text is lower than every fence."""
    return stored if isinstance(stored, str) else None


def digest_of(options: int, content: Sequence[object]) -> str:
    """Of the content of a document. If it differs from the digest that was stored with it, the document was edited.

    `options` is the number of the poll's own options, because people may add some behind them: see `options_in`.
    """
    return f"{options}:{hashlib.blake2b(_encode(content), digest_size=16).hexdigest()}"


def options_in(digest: object) -> int:
    """How many options the digest is about. 0 if people edited the digest itself."""
    count = str(digest).partition(":")[0]
    return int(count) if count.isdecimal() and len(count) < 10 else 0


def written_among(stored: Sequence[object], written: int, own: Sequence[str] | None) -> list[object]:
    """The stored options without those that were added. A poll's own are only ever added to, so the first were written.

    If its own are not known, what stands behind as many as were written was added.
    """
    if own is None:
        return list(stored[:written])
    first = set(own[:written])
    return [option for option in stored if isinstance(option, str) and option in first]


def date_of(unix_ms: int) -> datetime:
    """Databases and Python know no year beyond 9999."""
    return datetime.fromtimestamp(min(unix_ms, YEAR_9999_MS) / 1000, UTC)


def unix_ms_of(date: datetime) -> int:
    return round(date.timestamp() * 1000)
