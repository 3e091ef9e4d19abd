"""Tells at once when a poll is put into MongoDB by hand, where the server has change streams.

A replica set has them. A single mongod and FerretDB do not: there this never reports anything, and new polls are found
by the search every `poll_refresh_s`. A report is only a hint: a lost one costs a minute. When the server ends a stream,
for example because the history from which it would go on is gone, a new stream is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from pymongo.errors import OperationFailure, PyMongoError

EVENTS_MAX = 1_000  # at a time; more wait in the stream

log = logging.getLogger(__name__)


class OpenStream(Protocol):
    def try_next(self) -> Any: ...

    def close(self) -> None: ...


class ChangeStream:
    """Reports documents that come without a fence. The leader's own writes have a fence and are not reported."""

    ARGUMENTS = ([{"$match": {"operationType": {"$in": ["insert", "replace"]}, "fullDocument.quorate.cluster": None}}],)
    AWAIT_MS = 5  # how long the server waits for news before it answers that there is none

    def __init__(self, listen: Callable[[], OpenStream]) -> None:
        self._listen = listen
        self._stream: OpenStream | None = None
        self._supported = True

    def has_news(self) -> bool:
        """Whether a document came since the last call, or may have come while no stream was open."""
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

    def _drain(self, stream: OpenStream) -> bool:
        saw = 0
        while saw < EVENTS_MAX and stream.try_next() is not None:
            saw += 1
        return saw > 0

    def _forget(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
