"""The polls that a stream works with: read at the start, and again from time to time in a thread of their own.

If they cannot be read again, or options were added that fold to the same text, then the last good ones hold.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from quorate.errors import QuorateError
from quorate.ingest.social.matching.matcher import Matcher
from quorate.ingest.social.network import Terms
from quorate.ingest.social.options.stream_poll import StreamPoll

log = logging.getLogger(__name__)

REFRESH_S = 60.0


class PollsReader(Protocol):
    def read(self) -> list[StreamPoll]: ...


@dataclass(frozen=True, slots=True)
class PollsInUse:
    polls: Sequence[StreamPoll]
    matcher: Matcher
    terms: Terms


class LivePolls:
    """`current` is replaced as a whole. `on_change` gets the new terms, in the thread that reads the polls."""

    def __init__(self, reader: PollsReader, *, refresh_s: float = REFRESH_S) -> None:
        """Read the polls. Raises what the reader raises, and `ConfigError` if options cannot be told apart."""
        self._reader, self._refresh_s = reader, refresh_s
        self._stopped = threading.Event()
        self.current = _in_use(reader.read(), version=1)
        self.read_at_s = time.time()
        self.trouble = ""  # why they could not be read the last time

    def start(self, on_change: Callable[[Terms], None]) -> None:
        threading.Thread(target=self._run, args=(on_change,), name="polls", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self, on_change: Callable[[Terms], None]) -> None:
        while not self._stopped.wait(self._refresh_s):
            self._read_again(on_change)

    def _read_again(self, on_change: Callable[[Terms], None]) -> None:
        try:
            polls = self._reader.read()
            if polls != list(self.current.polls):
                self.current = _in_use(polls, self.current.terms.version + 1)
                on_change(self.current.terms)
        except (QuorateError, OSError) as error:
            why = error.detail if isinstance(error, QuorateError) else error.strerror or str(error)
            if why != self.trouble:
                log.warning("the polls cannot be read again, so those of before hold: %s", why)
            self.trouble = why
            return
        self.read_at_s, self.trouble = time.time(), ""


def _in_use(polls: Sequence[StreamPoll], version: int) -> PollsInUse:
    texts = tuple(dict.fromkeys(option for poll in polls for option in poll.options))
    return PollsInUse(polls, Matcher(polls), Terms(version, texts))
