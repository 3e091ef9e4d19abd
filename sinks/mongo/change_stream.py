"""Hearing of polls put into MongoDB by hand as soon as they are there, where the server has change streams.

A replica set has them, a single mongod and FerretDB have not: then nothing is ever heard, and the look every
`poll_refresh_s` finds them. A hint only: losing one costs a minute. A stream that the server ends (say, because the
history it would go on from is gone) is begun anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from pymongo.errors import OperationFailure, PyMongoError

EVENTS_MAX = 1_000  # at a time; more wait in the stream

log = logging.getLogger(__name__)


class Stream(Protocol):
    def try_next(self) -> Any: ...

    def close(self) -> None: ...


class ChangeStream:
    """Documents that come without a fence. What the leader writes itself comes with one and is not heard."""

    ARGUMENTS = ([{"$match": {"operationType": {"$in": ["insert", "replace"]}, "fullDocument.quorate.cluster": None}}],)
    AWAIT_MS = 5  # how long the server holds the question when there is nothing new

    def __init__(self, listen: Callable[[], Stream]) -> None:
        self._listen = listen
        self._stream: Stream | None = None
        self._supported = True

    def has_news(self) -> bool:
        """Whether something came since the last call, or may have come while we did not listen."""
        if not self._supported:
            return False
        if self._stream is None:
            return self._begin()
        try:
            return self._drain(self._stream)
        except OperationFailure:
            self._forget()
            return self._begin()
        except PyMongoError:
            self._forget()
            raise

    def _begin(self) -> bool:
        try:
            self._stream = self._listen()
        except OperationFailure as refused:
            self._supported = False
            log.info("this MongoDB has no change streams (%s): polls put there by hand are found later", refused.code)
        return self._supported

    def _drain(self, stream: Stream) -> bool:
        saw = 0
        while saw < EVENTS_MAX and stream.try_next() is not None:
            saw += 1
        return saw > 0

    def _forget(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
