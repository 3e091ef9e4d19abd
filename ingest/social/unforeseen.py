"""Errors that nobody foresaw, told without their text: it may quote a post, or the name of who wrote it."""

from __future__ import annotations

import os
import traceback

from quorate.errors import QuorateError


class Unforeseen(QuorateError):
    """A bug. Where it is stands in the detail, and what Python said of it nowhere."""

    kind, title = "unforeseen", "Something failed in the stream that should not"


def place_of(error: BaseException) -> str:
    """The kind of error, and where it was raised: `KeyError at matcher.py:12`."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{at}"


def without_text(error: BaseException) -> BaseException:
    """The error itself, if its words are ours or the system's. QUORATE_TRACEBACK=1 lets all through, for its finder."""
    if isinstance(error, QuorateError | OSError) or not isinstance(error, Exception):
        return error
    if os.environ.get("QUORATE_TRACEBACK"):
        return error
    return Unforeseen(f"{place_of(error)}. This is a bug; QUORATE_TRACEBACK=1 shows more, perhaps texts of posts")
