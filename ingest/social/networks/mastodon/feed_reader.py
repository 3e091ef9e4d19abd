"""Reads what comes live in one feed: connection after connection, in a thread of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from quorate.errors import ConfigError
from quorate.ingest.social.backoff import Backoff
from quorate.ingest.social.network import Inlet
from quorate.ingest.social.networks.mastodon.feed import Feed
from quorate.ingest.social.networks.mastodon.gap_filler import SETTLE_S, GapFiller
from quorate.ingest.social.networks.mastodon.instance import Instance, InstanceFacts, limit_reset_s, refusal
from quorate.ingest.social.networks.mastodon.status_ids import id_at, newest
from quorate.ingest.social.networks.mastodon.statuses import id_of, post_of, read_status
from quorate.ingest.social.reading.retry_after import date_s, retry_after_s
from quorate.ingest.social.reading.sse import event_batches
from quorate.shown import name
from quorate.web.long_read import LongRead, LongReadFailed
from quorate.web.sse import ServerEvent, SseReader

HUNG_UP_S = 0.5
WAIT_MAX_S = 900.0
FOR_PEOPLE = (400, 401, 403, 404, 405, 410, 422)
TOKEN_REFUSED = (401, 403, 422)


class FeedReader:
    def __init__(
        self,
        feed: Feed,
        instance: Instance,
        facts: InstanceFacts,
        filler: GapFiller,
        inlet: Inlet,
        silence_s: float,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._feed, self._instance, self._facts, self._filler = feed, instance, facts, filler
        self._inlet, self._silence_s, self._unix_s = inlet, silence_s, unix_s
        self._failing = Backoff(1, 60)
        self._limited = Backoff(30, 300)
        self._was_connected = False
        self._told_unreadable = False
        self._open: LongRead | None = None

    def run(self) -> None:
        while not self._feed.is_closed:
            self._inlet.pause(self._read_once())

    def close(self) -> None:
        """For another thread: no option asks for it any more."""
        self._feed.is_closed = True
        if (read := self._open) is not None:
            read.wake()

    def forget(self) -> None:
        """After that: what is posted while no option asks for it is no gap."""
        self._feed.forget()

    def _read_once(self) -> float:
        """One connection. Returns the pause after it."""
        address = self._feed.address
        headers = {"Accept": "text/event-stream", **self._instance.headers}
        url = self._facts.streaming_url + address.stream
        read = LongRead("GET", url, silence_s=self._silence_s, headers=headers, params=address.stream_params)
        self._open = read
        try:
            with self._inlet.closing(read.wake), read:
                return 0.0 if self._feed.is_closed else self._answered(read)
        except LongReadFailed as failed:
            if failed.reason == "redirected":
                return self._for_people(f"{self._instance.host}: {failed}", "redirected")
            self._ended(failed)
            return self._failing.next_s()

    def _answered(self, read: LongRead) -> float:
        if read.status != 200:
            return self._refused(read)
        kind = read.headers.get("Content-Type", "")
        if not kind.lower().startswith("text/event-stream"):
            return self._for_people(f"{self._instance.host} answers with {name(kind) or 'something'}", "no_stream")
        self._was_connected = True
        self._limited.reset()
        reader = SseReader()
        with self._connected(read):
            try:
                for events in event_batches(read, reader, line_s=self._silence_s):
                    self._take(events)
                self._inlet.disconnected("hung_up", "the instance ended the stream", self._feed.address.part)
            except LongReadFailed as failed:
                self._ended(failed)
        if not reader.lines:
            return self._failing.next_s()
        self._failing.reset()
        return HUNG_UP_S

    def _connected(self, read: LongRead) -> contextlib.ExitStack:
        """Begin the feed at this moment, or have the gap before it filled."""
        now_ms = int((date_s(read.headers.get("Date", "")) or self._unix_s()) * 1000)
        connection = self._feed.connected()
        if self._feed.position:
            settled_ms = now_ms + int(SETTLE_S * 1000) + 1_000  # its clock is told in whole seconds
            self._filler.fill(self._feed, connection, settled_ms)
        elif self._facts.has_time_in_ids:
            self._feed.begins(id_at(now_ms))
        self._inlet.connected(self._feed.address.part)
        leaving = contextlib.ExitStack()
        leaving.callback(self._feed.disconnected)
        return leaving

    def _take(self, events: Sequence[ServerEvent]) -> None:
        statuses = []
        for event in events:
            if event.name == "update":  # not status.update: an edit never votes
                status = read_status(event.data)
                if status is not None:
                    statuses.append(status)
                elif not self._told_unreadable:
                    self._told_unreadable = True
                    self._inlet.lost("a post could not be read, and so may be others", self._feed.address.part)
        if statuses:
            posts = [post for status in statuses if (post := post_of(status, self._instance.host)) is not None]
            self._feed.came(posts, newest(map(id_of, statuses), self._unix_s() * 1000))

    def _ended(self, failed: LongReadFailed) -> None:
        if failed.reason != "closed":
            self._inlet.disconnected(failed.reason, str(failed), self._feed.address.part)

    def _refused(self, read: LongRead) -> float:
        why = refusal(self._instance, read.status, read.error_body())
        if read.status in FOR_PEOPLE:
            return self._for_people(why, f"http_{read.status}", is_final=read.status in TOKEN_REFUSED)
        asked_s = retry_after_s(read.headers, self._unix_s)
        if read.status != 429:
            self._inlet.disconnected(f"http_{read.status}", why, self._feed.address.part)
            return max(asked_s, self._failing.next_s())
        reset_s = limit_reset_s(read.headers)
        if reset_s is not None:
            now_s = date_s(read.headers.get("Date", "")) or self._unix_s()
            asked_s = max(asked_s, reset_s - now_s)
        self._inlet.disconnected("rate_limited", why, self._feed.address.part)
        return min(asked_s, WAIT_MAX_S) if asked_s > 0 else self._limited.next_s()

    def _for_people(self, why: str, reason: str, *, is_final: bool = False) -> float:
        """A token that is not taken any more will not be. The rest may pass, if it ever worked."""
        if is_final or not self._was_connected:
            raise ConfigError(why)
        self._inlet.disconnected(reason, why, self._feed.address.part)
        return self._limited.next_s()
