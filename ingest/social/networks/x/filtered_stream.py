"""One connection to the filtered stream of X: a question whose answer goes on for hours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType

import msgspec

from quorate.ingest.social.networks.x.access import XBearer
from quorate.ingest.social.networks.x.api import HEADERS
from quorate.ingest.social.networks.x.posts import TWEET_FIELDS, StreamMessage
from quorate.ingest.social.networks.x.problems import issue_of, refusal_of
from quorate.ingest.social.reading.lines import LineCutter, line_batches
from quorate.ingest.social.reading.loose_json import loosely
from quorate.ingest.social.reading.retry_after import date_s
from quorate.unreadable import UNREADABLE
from quorate.web.long_read import LongRead

PATH = "/2/tweets/search/stream"


class NoRules(Exception):
    """The stream has no rules, so there is nothing to listen to."""


class FilteredStream:
    """`wake` is for any thread, at any time. The question is asked when it is entered, which raises `StreamRefused`,
    `NoRules` or `LongReadFailed`. `reposts`: have the originals of reposts come along; X bills them, too."""

    def __init__(self, base: str, auth: XBearer, silence_s: float, *, reposts: bool) -> None:
        params = {"tweet.fields": TWEET_FIELDS} | ({"expansions": "referenced_tweets.id"} if reposts else {})
        self._url, self._silence_s = base + PATH, silence_s
        self._read = LongRead("GET", self._url, silence_s=silence_s, headers=HEADERS, params=params, auth=auth)
        self._opened_at_s = self._unix_s = 0.0

    def __enter__(self) -> FilteredStream:
        self._read.__enter__()
        status, headers = self._read.status, self._read.headers
        if status != 200:
            problem = _decoded(self._read.error_body())
            self.close()
            if issue_of(problem) == "RuleConfigurationIssue":
                raise NoRules
            raise refusal_of(self._url, status, headers, problem)
        self._unix_s = date_s(headers.get("Date", "")) or time.time()
        self._opened_at_s = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def server_ms(self) -> float:
        """The time of X now."""
        return (self._unix_s + time.monotonic() - self._opened_at_s) * 1_000

    def messages(self) -> Iterator[list[StreamMessage | None]]:
        """What has come at once, perhaps nothing but a sign of life. None is for what cannot be understood. Half a
        message at the end is none; the last one may lack its line break."""
        lines, decoder = LineCutter(), msgspec.json.Decoder(StreamMessage)
        for cut in line_batches(self._read, lines.cut, lambda: lines.ended, line_s=self._silence_s):
            yield [read_line(decoder, line) for line in cut if line.strip()]
        if rest := lines.rest.strip():
            last = read_line(decoder, rest)
            yield [] if last is None and rest.startswith(b"{") else [last]

    def wake(self) -> None:
        self._read.wake()

    def close(self) -> None:
        self._read.close()


def read_line(decoder: msgspec.json.Decoder[StreamMessage], line: bytes) -> StreamMessage | None:
    try:
        return loosely(decoder.decode, line)
    except UNREADABLE:
        return None


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        return None
