"""The leader's flush: what was counted, written where people read it.

Only the leader flushes (`leadership.py`), every interval, on a thread of its own, so that a slow or dead sink never
slows counting. When the sink fails, the flush waits and tries again; what changes meanwhile is only noted, by name. The
first flush after an outage writes every poll, for the sink may have come back older or empty. Another cluster's fence,
or one newer than a confirmed leader's own, stops the flush in words, until it is gone or `quorate sink adopt` takes it
over.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from quorate.cluster.entry import Done, RaiseGeneration, Result
from quorate.cluster.flush.importer import Importer
from quorate.cluster.flush.leadership import Flush, Leadership, Obstacle, Stopped
from quorate.cluster.fsm import Applied
from quorate.cluster.loop_bridge import Deposed, LoopBridge
from quorate.cluster.replica import Replica
from quorate.errors import NotReady, QuorateError
from quorate.sinks.sink import Sink, SinkError, WriteOutcome

# The sink must be right two intervals after it came back, so the pause before asking again does not grow beyond one.
PAUSE_MAX_S = 1.0
STOPPED_PAUSE_S = 5.0  # between two looks at a sink that may not be written
STOP_S = 5.0

log = logging.getLogger(__name__)


class Phase(enum.Enum):
    IDLE = "idle"  # this node does not lead
    STARTING = "starting"  # it leads, and has not yet written every poll
    FLUSHING = "flushing"
    RETRYING = "retrying"  # the sink, or the confirmation that we lead, cannot be had
    FOREIGN = "foreign"
    OUTRANKED = "outranked"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Adopted:
    """What `quorate sink adopt` did."""

    documents: int  # of other clusters, that are this cluster's now
    generation: int


class Flusher:
    """Made, started and stopped on the node's loop. The sink is its own: it closes it at the end."""

    def __init__(
        self,
        replica: Replica,
        sink: Sink,
        *,
        interval_s: float = 1.0,
        timeout_s: float = 10.0,
        poll_refresh_s: float = 60.0,
    ) -> None:
        self._replica, self._sink = replica, sink
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._importer = Importer(sink, refresh_s=poll_refresh_s)
        self._bridge = LoopBridge()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._leadership: Leadership | None = None
        self._in_a_row = 0  # failures
        self.phase = Phase.IDLE
        self.last_flush: Flush | None = None
        self.last_error: str | None = None
        self._last_error_s = 0.0  # monotonic
        self._flushes = 0
        self._failures = 0
        self._documents = dict.fromkeys(WriteOutcome, 0)

    # ---- on the loop ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._replica.on_applied(self._on_applied)
        self._replica.on_leadership(lambda leads: self._check_leadership())
        self._check_leadership()
        self._thread = threading.Thread(target=self._run, name="flush", daemon=True)
        self._thread.start()

    async def stop(self, timeout_s: float = STOP_S) -> None:
        """If this node leads, flush once more; at most `timeout_s` in all. Idempotent."""
        if not self._bridge.stopping:
            self._bridge.stop_by(time.monotonic() + timeout_s)
        self._wake.set()
        if self._thread is None:
            self._sink.close()
            return
        await asyncio.to_thread(self._thread.join, timeout_s + 1.0)
        if self._thread.is_alive():
            log.warning("the flush to %s did not end within %g s; left behind", self._sink.name, timeout_s)

    def caught_up(self) -> tuple[bool, str]:
        """Whether the sink holds all that was applied two intervals ago, and a few words. For /readyz?sync."""
        leadership, last = self._leadership, self.last_flush
        if leadership is None:
            return True, "the leader flushes"
        if self.phase is not Phase.FLUSHING or last is None:
            return False, self.last_error or self.phase.value
        well = not leadership.pending or time.monotonic() - last.began_s <= 2 * self._interval_s
        return well, f"version {last.version} is in {self._sink.name}"

    async def adopt(self, command: Callable[[RaiseGeneration], Awaitable[tuple[Result, int]]]) -> Adopted:
        """Take the sink over: other clusters' documents become this one's, and the generation goes up, so that the
        leader writes every poll again and outranks every fence. On any node; safe to repeat. Raises `QuorateError`."""
        cluster_id = self._replica.state.cluster_id
        if not cluster_id:
            raise NotReady("the cluster is being formed; try again in a moment")
        try:
            documents = await asyncio.to_thread(self._sink.adopt, cluster_id, timeout_s=self._timeout_s)
        except SinkError as error:
            raise NotReady(str(error)) from error
        result, _ = await command(RaiseGeneration("quorate sink adopt"))
        assert isinstance(result, Done), result
        return Adopted(documents, result.value)

    def status(self) -> Mapping[str, Any]:
        """The `flush` part of /status."""
        now_s, leadership, last = time.monotonic(), self._leadership, self.last_flush
        return {
            "sink": self._sink.name,
            "phase": self.phase.value,
            "caught_up": self.caught_up()[0],
            "last_success_age_s": None if last is None else round(now_s - last.ended_s, 3),
            "last_success_version": None if last is None else last.version,
            "last_success_took_s": None if last is None else round(last.ended_s - last.began_s, 6),
            "lag_versions": None if leadership is None else self._replica.state.version - (last.version if last else 0),
            "pending_polls": 0 if leadership is None else leadership.behind,
            "last_error": self.last_error,
            "last_error_age_s": None if self.last_error is None else round(now_s - self._last_error_s, 3),
            "flushes": self._flushes,
            "failures": self._failures,
            "documents": {outcome.value: count for outcome, count in self._documents.items()},
            "import": self._importer.status(),
        }

    def _on_applied(self, applied: Applied) -> None:
        leadership = self._leadership
        if leadership is not None:
            leadership.note(applied)
        if self._replica.state.generation != (0 if leadership is None else leadership.generation):
            self._check_leadership()  # the cluster was formed, or its generation raised

    def _check_leadership(self) -> None:
        """Begin or end a leadership."""
        leads = self._replica.is_leader and self._replica.state.cluster_id != ""
        if leads == (self._leadership is not None) and (self._leadership is None or self._leadership.lasts):
            return
        self._leadership = (
            Leadership(self._replica, self._sink, self._importer, self._bridge, timeout_s=self._timeout_s)
            if leads
            else None
        )
        self.phase = Phase.STARTING if leads else Phase.IDLE
        self.last_flush = self.last_error = None
        self._in_a_row = 0
        self._wake.set()

    def _succeeded(self, leadership: Leadership, flush: Flush) -> None:
        self._flushes += 1
        for outcome, count in flush.outcomes.items():
            self._documents[outcome] += count
        if self._leadership is leadership:
            if self.phase is not Phase.FLUSHING:
                log.info("all tallies up to version %d are in %s", flush.version, self._sink.name)
            self.phase, self.last_flush, self.last_error, self._in_a_row = Phase.FLUSHING, flush, None, 0

    def _failed(self, leadership: Leadership, phase: Phase, why: str, unknown: Exception | None) -> None:
        self._failures += 1
        if self._leadership is not leadership:
            return
        if (phase, why) != (self.phase, self.last_error):
            log.warning("term %d: no flush, and counting goes on: %s", leadership.term, why, exc_info=unknown)
        self.phase, self.last_error, self._last_error_s = phase, why, time.monotonic()
        self._in_a_row += 1

    # ---- the thread -------------------------------------------------------------------------------------------------
    # What came of a flush is noted on the loop, where leaderships begin and end: else the old one's could count for the new.

    def _run(self) -> None:
        try:
            while not self._bridge.stopping:
                began_s = time.monotonic()
                pause_s = None if (leadership := self._leadership) is None else self._flush(leadership)
                self._wake.wait(None if pause_s is None else max(0.0, began_s + pause_s - time.monotonic()))
                self._wake.clear()
            if (leadership := self._leadership) is not None:
                self._flush(leadership)
        finally:
            self._sink.close()
            self.phase = Phase.STOPPED

    def _flush(self, leadership: Leadership) -> float:
        """One flush, whatever comes of it; how long after its beginning the next one is due."""
        try:
            flush = leadership.flush()
        except Deposed:
            return self._after_deposition()
        except Stopped as stopped:
            phase = Phase.FOREIGN if stopped.obstacle is Obstacle.FOREIGN else Phase.OUTRANKED
            self._note_failure(leadership, phase, str(stopped))
            return max(self._interval_s, STOPPED_PAUSE_S)
        except (SinkError, QuorateError, TimeoutError) as error:
            self._note_failure(leadership, Phase.RETRYING, str(error))
        except Exception as error:  # the thread must go on: tallies are worth more than an unknown mistake
            self._note_failure(leadership, Phase.RETRYING, repr(error), error)
        else:
            self._note_success(leadership, flush)
            return self._interval_s
        return max(self._interval_s, min(self._interval_s * 2.0**self._in_a_row, PAUSE_MAX_S))

    def _after_deposition(self) -> float:
        """One term may have ended and another begun between two looks, without anybody being told."""
        with suppress(Deposed, TimeoutError):
            self._bridge.call_on_loop(self._check_leadership)
        return self._interval_s

    def _note_success(self, leadership: Leadership, flush: Flush) -> None:
        with suppress(Deposed, TimeoutError):
            self._bridge.call_on_loop(partial(self._succeeded, leadership, flush))

    def _note_failure(self, leadership: Leadership, phase: Phase, why: str, unknown: Exception | None = None) -> None:
        if self._in_a_row == 0:
            leadership.write_all_again()
        with suppress(Deposed, TimeoutError):
            self._bridge.call_on_loop(partial(self._failed, leadership, phase, why, unknown))
