"""For how long an answer asks its client to wait: `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3)."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Mapping

WAIT_MAX_S = 3_600.0  # a longer one is taken for a mistake: the server will tell again


def retry_after_s(headers: Mapping[str, str], unix_s: Callable[[], float] = time.time) -> float:
    """0 if the answer does not say. A date is told by the server's clock, so its own `Date` is taken for now."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit() and len(asked) < 10:
        return min(float(asked), WAIT_MAX_S)
    until_s = date_s(asked)
    if until_s is None:
        return 0.0
    return min(max(0.0, until_s - (date_s(headers.get("Date", "")) or unix_s())), WAIT_MAX_S)


def date_s(text: str) -> float | None:
    """A date of HTTP as a Unix time, or None if it is none."""
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
