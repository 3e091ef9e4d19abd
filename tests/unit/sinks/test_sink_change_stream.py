"""Reports of hand-made polls by a change stream.

No server with change streams is available to these tests, so the stream is a double: it behaves as the driver's
documentation says.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from quorate.sinks.mongo.change_stream import ChangeStream


class Stream:
    """Returns the given events, one for each call. An exception is raised."""

    def __init__(self, *events: Any) -> None:
        self.events = list(events)
        self.closed = False

    def try_next(self) -> Any:
        event = self.events.pop(0) if self.events else None
        if isinstance(event, Exception):
            raise event
        return event

    def close(self) -> None:
        self.closed = True


def test_there_is_news_when_the_stream_opens_and_whenever_something_comes() -> None:
    stream = Stream(None, {"insert": 1}, {"insert": 2}, None, None)
    change_stream = ChangeStream(lambda: stream)
    assert [True, False, True, False] == [change_stream.has_news() for _ in range(4)]


def test_a_server_without_change_streams_is_asked_once() -> None:
    asked = []

    def listen() -> Stream:
        asked.append(1)
        raise OperationFailure("The $changeStream stage is only supported on replica sets", 40573)

    change_stream = ChangeStream(listen)
    assert [False, False] == [change_stream.has_news(), change_stream.has_news()]
    assert [1] == asked


def test_a_stream_that_the_server_ends_is_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    ended, anew = Stream(OperationFailure("ChangeStreamHistoryLost", 286)), Stream(None, {"insert": 1})
    streams = [ended, anew]
    change_stream = ChangeStream(lambda: streams.pop(0))
    with caplog.at_level(logging.INFO):
        assert change_stream.has_news()
        assert change_stream.has_news(), "something may have come meanwhile"
        assert ended.closed
        assert [False, True] == [change_stream.has_news(), change_stream.has_news()]
    assert [] == caplog.messages


def test_after_a_broken_connection_the_stream_is_opened_again_and_there_is_news() -> None:
    broken, anew = Stream(AutoReconnect("connection closed")), Stream()
    streams = [broken, anew]
    change_stream = ChangeStream(lambda: streams.pop(0))
    assert change_stream.has_news()
    with pytest.raises(AutoReconnect):
        change_stream.has_news()
    assert broken.closed
    assert change_stream.has_news(), "something may have come meanwhile"
    assert not change_stream.has_news()
