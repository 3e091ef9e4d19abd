"""Tallies as they change, for a program that may wait. It goes on at another node when its node is gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator
from typing import Self

from quorate.client.asker import NodeAsker
from quorate.client.asking import CONNECT_TIMEOUT_S, Asking, RetryTimes
from quorate.client.error_replies import Unreached, answer_error
from quorate.client.followed import SILENCE_S, STEADY_S, Event, Followed
from quorate.errors import OutcomeUnknown, QuorateError
from quorate.web.long_read import LongRead, LongReadFailed


class EventStream:
    """An iterator for one thread; `close` is for any thread and ends the iteration."""

    def __init__(self, asker: NodeAsker, followed: Followed, times: RetryTimes) -> None:
        self._asker, self._followed, self._times = asker, followed, times
        self._closed = threading.Event()
        self._read: LongRead | None = None
        self._events = self._follow()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        self._closed.set()
        if (read := self._read) is not None:
            read.wake()
        with contextlib.suppress(ValueError):  # another thread waits in it, and ends it now
            self._events.close()

    def _follow(self) -> Generator[Event, None, None]:
        self._asker.find_nodes()
        asking = self._asking()
        while not self._closed.is_set():
            node, begin_s = asking.begin().node, time.monotonic()
            try:
                yield from self._one_connection(node)
                error: QuorateError = OutcomeUnknown(f"{node} ended the stream of events")
            except QuorateError as failed:
                error = failed
            if self._closed.is_set():
                return
            if time.monotonic() - begin_s >= STEADY_S:
                asking = self._asking()
            self._closed.wait(asking.failed(error))
            if asking.wants_nodes:
                self._asker.find_again(asking)

    def _asking(self) -> Asking:
        return Asking(self._followed.call(), self._asker.nodes, self._times, time.monotonic)

    def _one_connection(self, node: str) -> Generator[Event, None, None]:
        call, asker = self._followed.call(), self._asker
        headers = dict(call.headers) | ({"Authorization": f"Bearer {asker.token}"} if asker.token is not None else {})
        self._followed.begin()
        self._read = LongRead(
            "GET",
            node + call.path,
            silence_s=SILENCE_S,
            headers=headers,
            ca=asker.ca,
            timeout_connect_s=min(CONNECT_TIMEOUT_S, self._times.timeout_s),
        )
        try:
            if self._closed.is_set():
                return
            with self._read as read:
                if read.status >= 300:
                    raise answer_error(read.status, read.error_body(), read.headers, node)
                for piece in read.pieces():
                    yield from self._followed.feed(piece, node)
        except LongReadFailed as failed:
            if failed.reason == "refused":
                raise Unreached(f"{node} cannot be reached: {failed}") from None
            raise OutcomeUnknown(f"{node}: {failed}") from None
