"""Hears from the cluster at once that a poll was made, changed or deleted: `GET /events?only=polls`, in its own thread.

It only says that there is news; what it is, is read as always. So nothing depends on it: while no node tells, as nodes
of 0.1.0 cannot, the polls are read again each minute.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from quorate.ingest.social.backoff import Backoff
from quorate.ingest.social.reading.sse import event_batches
from quorate.web.long_read import LongRead, LongReadFailed
from quorate.web.sse import SseReader

log = logging.getLogger(__name__)

SILENCE_S = 40.0  # nodes send a comment each 15 s
PAUSE_S, PAUSE_MAX_S = 1.0, 30.0


class ClusterNews:
    """`ca` is a file of the certificates whose signature is trusted, and no other."""

    def __init__(
        self,
        nodes: Sequence[str],
        *,
        token: str | None = None,
        ca: str | None = None,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._nodes, self._ca = list(nodes), ca
        self._headers = {"Accept": "text/event-stream"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._backoff = Backoff(pause_s, max(pause_s, PAUSE_MAX_S))
        self._on_news: Callable[[], None] = lambda: None
        self._read: LongRead | None = None
        self._lock = threading.Lock()  # around `_read` and `_stopped`
        self._stopped = threading.Event()
        self._trouble = ""

    def start(self, on_news: Callable[[], None]) -> None:
        """`on_news` is called in another thread, also whenever a node begins to tell."""
        self._on_news = on_news
        threading.Thread(target=self._run, name="polls news", daemon=True).start()

    def stop(self) -> None:
        """Its thread ends soon. Idempotent."""
        with self._lock:
            self._stopped.set()
            if self._read is not None:
                self._read.wake()

    def _run(self) -> None:
        turn = 0
        while not self._stopped.is_set():
            try:
                self._follow(self._nodes[turn % len(self._nodes)])
            except LongReadFailed as failed:
                self._note(str(failed))
            except Exception:
                log.exception("following the polls failed in a way that is a bug; they are read again each minute")
            turn += 1
            self._stopped.wait(self._backoff.next_s())

    def _follow(self, node: str) -> None:
        """Until the stream ends."""
        url, only = f"{node}/events", {"only": "polls"}
        read = LongRead("GET", url, silence_s=SILENCE_S, headers=self._headers, params=only, ca=self._ca)
        with self._lock:
            if self._stopped.is_set():
                return
            self._read = read
        with read:
            if read.status != 200:
                raise LongReadFailed(f"{node} answers {read.status}", "refused")
            self._note("")
            self._backoff.reset()
            self._on_news()  # of what happened while nobody told
            for events in event_batches(read, SseReader(), line_s=SILENCE_S):
                if events:
                    self._on_news()

    def _note(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble) and not self._stopped.is_set():
            if trouble:
                log.info("no node tells of changed polls (%s), so they are read again each minute", trouble)
            else:
                log.info("changed polls are told at once again")
        self._trouble = trouble
