"""The ids of an instance's posts: decimal numbers that begin with a time in ms ("snowflakes", `Mastodon::Snowflake`).

A post of another server has the time at which it was written there in its id, though it may have arrived later. So the
order of ids is not quite that in which posts come, and whoever goes on from an id looks back a bit.
"""

from __future__ import annotations

from collections.abc import Iterable

RANDOM_BITS = 16
ID_CHARACTERS_MAX = 64
AHEAD_MS = 3_600_000  # a server may be so far ahead of this machine
OLDEST_MS = 1_262_304_000_000  # 2010: numbers below are of servers that just count


def order(status_id: str) -> tuple[int, str]:
    """Sorts decimal numbers by their size, and other ids of one length by their characters."""
    return len(status_id), status_id


def latest(first: str, second: str) -> str:
    return max(first, second, key=order)


def written_ms(status_id: str) -> int | None:
    """None if the id holds no time."""
    if not (status_id.isascii() and status_id.isdigit() and len(status_id) < 20):
        return None
    ms = int(status_id) >> RANDOM_BITS
    return ms if ms > OLDEST_MS else None


def is_ahead(status_id: str, now_ms: float) -> bool:
    """Whether it lies in the future: whoever went on from there would miss all until then."""
    at_ms = written_ms(status_id)
    return at_ms is not None and at_ms > now_ms + AHEAD_MS


def newest(status_ids: Iterable[str], now_ms: float) -> str:
    """The latest one from which a reader may go on. "" if there is none."""
    return max((each for each in status_ids if not is_ahead(each, now_ms)), key=order, default="")


def id_at(ms: int) -> str:
    return str(max(0, ms) << RANDOM_BITS)


def look_back(status_id: str, ms: int) -> str:
    """The id by so much earlier, or the same if it holds no time."""
    at_ms = written_ms(status_id)
    return status_id if at_ms is None else id_at(at_ms - ms)
