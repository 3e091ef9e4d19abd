"""The thread that sends votes and waits until they are confirmed, batch after batch, in the order of the posts.

It never gives up: what the cluster or NSQ does not take is tried again, with the reason said once in words, until the
stream ends. So the next batch waits, the inlet fills, and the reading stops. Only what fails before anything was ever
taken, and that waiting does not mend (a wrong token, say), ends the stream.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from quorate.client.error_replies import worth_another_try
from quorate.errors import QuorateError
from quorate.ingest.social.backoff import Backoff
from quorate.ingest.social.counts import StreamCounts
from quorate.ingest.social.outlets import Outlet
from quorate.ingest.social.post_queue import PostBatch
from quorate.ingest.social.unknown_options import UnknownOptions
from quorate.vote import Vote
from quorate.words import count

log = logging.getLogger(__name__)

PAUSE_S, PAUSE_MAX_S, UNKNOWN_PAUSE_S = 0.1, 2.0, 1.0
REASONS_SAID = 10  # each node, and each nsqd, has its own, and the status has the last one


@dataclass(slots=True)
class VoteBatch:
    votes: list[Vote]
    source: PostBatch


class VoteSender:
    """One batch is under way, and one waits, so that the next is matched while one is confirmed."""

    def __init__(
        self,
        outlet: Outlet,
        counts: StreamCounts,
        on_confirmed: Callable[[VoteBatch], None],
        unknown: UnknownOptions,
    ) -> None:
        self._outlet, self._counts, self._on_confirmed, self._unknown = outlet, counts, on_confirmed, unknown
        self._changed = threading.Condition()
        self._next: VoteBatch | None = None
        self._is_sending = self._stopped = self._has_sent = self._is_refused = False
        self._backoff = Backoff(PAUSE_S, PAUSE_MAX_S)
        self._said = set[str]()  # why nothing was taken, since something was
        self.trouble = ""  # why nothing is taken at the moment
        self.trouble_since_s = 0.0  # Unix
        self.error: BaseException | None = None  # what ended it
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, batch: VoteBatch, timeout_s: float) -> bool:
        """Hand over the next batch. False: there was no place for it within the time."""
        with self._changed:
            free = self._changed.wait_for(lambda: self._next is None or self.error is not None, timeout_s)
            if free and self.error is None:
                self._next = batch
                self._changed.notify_all()
            return free

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether all that was handed over is confirmed, within the time."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout_s)

    def _is_idle(self) -> bool:
        return self.error is not None or (self._next is None and not self._is_sending)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """Send no more. The thread ends within the time, unless a request hangs."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while (batch := self._take()) is not None and self._send(batch):
                self._on_confirmed(batch)
                with self._changed:
                    self._is_sending = False
                    self._changed.notify_all()
        except BaseException as error:  # the main thread raises it again
            with self._changed:
                self.error = error
                self._changed.notify_all()
        self._outlet.close()

    def _take(self) -> VoteBatch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._next is not None)
            if self._stopped:
                return None
            batch, self._next = self._next, None
            self._is_sending = True
            self._changed.notify_all()
            return batch

    def _send(self, batch: VoteBatch) -> bool:
        """Until all is confirmed. False: the stream was stopped before."""
        left, waiting = batch.votes, list[Vote]()
        while left and not self._stopped:
            try:
                confirmed, tallied = self._outlet.send(left)
            except (QuorateError, OSError) as error:
                self._note(error)
                self._pause(self._backoff.next_s())
                continue
            self._took()
            again = list[Vote]()
            if tallied is not None:
                again, tallied = self._unknown.wait(left[:confirmed], tallied)
            self._counts.answered(confirmed - len(again), tallied)
            left, waiting = left[confirmed:], waiting + again
            if not waiting:
                self.trouble = ""
            elif not left:
                self._set_trouble(f"{count(len(waiting), 'vote')} for options that the cluster does not know yet")
                self._pause(UNKNOWN_PAUSE_S)
                left, waiting = waiting, []
        return not left

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)

    def _note(self, error: QuorateError | OSError) -> None:
        may_pass = isinstance(error, OSError) or worth_another_try(error)
        if not may_pass and not self._has_sent:
            raise error
        why = error.detail if isinstance(error, QuorateError) else error.strerror or str(error)
        if why not in self._said and len(self._said) < REASONS_SAID:
            log.warning("%s takes no votes: %s; they are tried until it does", self._outlet.name, why)
            self._said.add(why)
        self._set_trouble(why)
        self._is_refused = True

    def _set_trouble(self, why: str) -> None:
        if not self.trouble:
            self.trouble_since_s = time.time()
        self.trouble = why

    def _took(self) -> None:
        if self._is_refused:
            log.info("%s takes votes again", self._outlet.name)
        self._is_refused, self._has_sent = False, True
        self._said.clear()
        self._backoff.reset()
