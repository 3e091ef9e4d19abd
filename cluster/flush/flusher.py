"""The leader's flush to one sink: the tallies, written where people read them.

Only the leader flushes (`leadership.py`), every interval. Each sink has a flusher with a thread of its own, so a slow
or dead sink slows neither counting nor the other sinks. When the sink fails, the flush waits and tries again; meanwhile
only the names of what changes are noted. The first flush after an outage writes every poll, because the sink may have
come back older or empty. Another cluster's fence, or a fence newer than a confirmed leader's own, stops the flush. It
says so in words, and goes on when the fence is gone or `quorate sink adopt` takes the sink over.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial

from quorate.cluster.flush.deletions import Deletions
from quorate.cluster.flush.deviations import Deviations
from quorate.cluster.flush.importer import Importer
from quorate.cluster.flush.imports import Imports
from quorate.cluster.flush.leadership import Flush, Leadership, Obstacle, Stopped
from quorate.cluster.flush.sink_status import SinkStatus
from quorate.cluster.flush.unknown_votes import names_unknown
from quorate.cluster.fsm import Applied
from quorate.cluster.loop_bridge import Deposed, LoopBridge
from quorate.cluster.replica import Replica
from quorate.errors import NotReady, QuorateError
from quorate.measures import Histogram
from quorate.sinks.importable import ImportableSink
from quorate.sinks.sink import Sink, SinkError, WriteOutcome

# The sink must be right two intervals after it came back, so the pause before asking again does not grow beyond one.
PAUSE_MAX_S = 1.0
STOPPED_PAUSE_S = 5.0  # between two checks of a sink that may not be written
STOP_S = 5.0
UNREACHED_STOP_S = 2.0  # for the first flush of a leadership, which may be the last
FLUSHED_POLL_S = 0.02
FAILING_STOP_S = 0.5  # for the last flush to a sink that failed just before: it is enough if the sink is back

FlushTold = Callable[[str, float, float, int], None]

log = logging.getLogger(__name__)


class Phase(enum.Enum):
    IDLE = "idle"  # this node does not lead
    STARTING = "starting"  # it leads, and has not yet written every poll
    FLUSHING = "flushing"
    RETRYING = "retrying"  # the sink fails, or nobody confirms that this node leads
    FOREIGN = "foreign"  # the sink holds another cluster's documents
    OUTRANKED = "outranked"  # the sink holds a newer fence than the leader's own
    STOPPED = "stopped"


class Flusher:
    """Made, started and stopped on the node's loop. It owns the sink and closes it at the end."""

    def __init__(
        self,
        replica: Replica,
        sink: Sink,
        imports: Imports,
        deletions: Deletions,
        *,
        interval_s: float = 1.0,
        timeout_s: float = 10.0,
        told: FlushTold | None = None,
    ) -> None:
        """`told` hears of each flush that succeeded: sink, beginning, end (monotonic), version."""
        self._told = told
        self._replica, self._sink = replica, sink
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._imports, self._deletions = imports, deletions
        self._importer = Importer(sink) if isinstance(sink, ImportableSink) else None
        self._deviations = Deviations(sink.name)
        self._bridge = LoopBridge()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._leadership: Leadership | None = None
        self._in_a_row = 0  # failures
        self._failed_at_the_end = False  # the last attempt failed when this node was stopping already
        self.phase = Phase.IDLE
        self.last_flush: Flush | None = None
        self.last_error: str | None = None
        self._last_error_s = 0.0  # monotonic
        self._flushes = 0
        self._failures = 0
        self.flush_times = Histogram()  # of flushes that succeeded
        self._documents = dict.fromkeys(WriteOutcome, 0)

    @property
    def sink(self) -> Sink:
        """To look at. Only the flusher writes to it, and closes it."""
        return self._sink

    @property
    def deviations(self) -> Deviations:
        return self._deviations

    @property
    def name(self) -> str:
        """The sink's."""
        return self._sink.name

    # ---- on the loop ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._replica.on_applied(self._on_applied)
        self._replica.on_leadership(lambda leads: self._check_leadership())
        self._check_leadership()
        self._thread = threading.Thread(target=self._run, name=f"flush-{self._sink.name}", daemon=True)
        self._thread.start()

    async def stop(self, timeout_s: float = STOP_S) -> None:
        """If this node leads, flush once more; at most `timeout_s` in all. Idempotent.

        A sink that fails, or was not reached yet, gets less: the next leader, or this node after its start, writes
        everything.
        """
        patience_s = min(timeout_s, self._patience_s())
        if not self._bridge.stopping:
            self._bridge.stop_by(time.monotonic() + patience_s)
        self._wake.set()
        if self._thread is None:
            self._sink.close()
            return
        await asyncio.to_thread(self._thread.join, patience_s + (1.0 if patience_s == timeout_s else 0.1))
        if self._thread.is_alive():
            level = logging.WARNING if patience_s == timeout_s else logging.INFO
            log.log(level, "the flush to %s did not end within %g s; left behind", self._sink.name, patience_s)

    def _patience_s(self) -> float:
        if self._leadership is None or self._in_a_row > 0:  # an attempt of an earlier leadership may be under way
            return FAILING_STOP_S
        return UNREACHED_STOP_S if self.last_flush is None else STOP_S

    def caught_up(self) -> tuple[bool, str]:
        """Whether the sink holds all that was applied two intervals ago, and a few words. For /readyz?sync."""
        leadership, last = self._leadership, self.last_flush
        if leadership is None:
            return True, "the leader flushes"
        if self.phase is not Phase.FLUSHING or last is None:
            return False, self.last_error or self.phase.value
        if leadership.is_repairing:
            return False, f"{self._sink.name} lost what was written to it; everything is written again"
        well = not leadership.pending or time.monotonic() - last.began_s <= 2 * self._interval_s
        return well, f"version {last.version} is in {self._sink.name}"

    async def flushed(self, version: int, timeout_s: float) -> None:
        """Flush now, and wait until the sink has all up to `version`. Raises `NotReady`, which says why it has not."""
        end_s = time.monotonic() + timeout_s
        if self.phase is Phase.FLUSHING:  # a sink that fails is not asked more often for that
            self._wake.set()
        while not self._has(version):
            if self._leadership is None or time.monotonic() >= end_s:
                raise NotReady(self.last_error or f"{self.name} was not written up to version {version:,} in time")
            await asyncio.sleep(FLUSHED_POLL_S)

    def _has(self, version: int) -> bool:
        return self.phase is Phase.FLUSHING and self.last_flush is not None and self.last_flush.version >= version

    def why_no_audit(self) -> str | None:
        """Why nothing can be said of the sink now. None: this node has written every poll to it."""
        if self._leadership is None:
            return "this node does not lead"
        return None if self.phase is Phase.FLUSHING else self.last_error or f"the flush is {self.phase.value}"

    def rewrite(self, ids: Iterable[str]) -> None:
        """Have the next flush write these polls again. If no flush is under way, all are written soon anyway."""
        if self._leadership is not None:
            self._leadership.rewrite(ids)

    async def adopt(self, cluster_id: str) -> int:
        """Give other clusters' documents in this sink to this cluster. Returns how many. Raises `SinkError`."""
        return await asyncio.to_thread(self._sink.adopt, cluster_id, timeout_s=self._timeout_s)

    def status(self) -> SinkStatus:
        """What /status says of this sink."""
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
            "deviations": self._deviations.status(),
            "import": None if self._importer is None else self._importer.status(),
        }

    def _on_applied(self, applied: Applied) -> None:
        leadership = self._leadership
        if leadership is not None:
            leadership.note(applied)
            if self._importer is not None and names_unknown(applied.results) and self._importer.want():
                self._wake.set()
        if self._replica.state.generation != (0 if leadership is None else leadership.generation):
            self._check_leadership()  # the cluster was formed, or its generation raised

    def _check_leadership(self) -> None:
        """Begin or end a leadership, if this node's part has changed."""
        leads = self._replica.is_leader and self._replica.state.cluster_id != ""
        if leads == (self._leadership is not None) and (self._leadership is None or self._leadership.lasts):
            return
        self._leadership = (
            Leadership(
                self._replica,
                self._sink,
                self._bridge,
                importer=self._importer,
                imports=self._imports,
                deletions=self._deletions,
                deviations=self._deviations,
                timeout_s=self._timeout_s,
            )
            if leads
            else None
        )
        self.phase = Phase.STARTING if leads else Phase.IDLE
        self.last_flush = self.last_error = None
        self._in_a_row = 0
        self._wake.set()

    def _succeeded(self, leadership: Leadership, flush: Flush) -> None:
        self._flushes += 1
        self.flush_times.add(flush.ended_s - flush.began_s)
        if self._told is not None:
            self._told(self._sink.name, flush.began_s, flush.ended_s, flush.version)
        self._count(flush.outcomes)
        if self._leadership is leadership:
            if self.phase is not Phase.FLUSHING:
                log.info("all tallies up to version %d are in %s", flush.version, self._sink.name)
            self.phase, self.last_flush, self.last_error, self._in_a_row = Phase.FLUSHING, flush, None, 0

    def _failed(self, leadership: Leadership, phase: Phase, why: str, unknown: Exception | None) -> None:
        self._failures += 1
        self._count(leadership.outcomes)
        if self._leadership is not leadership:
            return
        if (phase, why) != (self.phase, self.last_error):
            log.warning("term %d: no flush, and counting goes on: %s", leadership.term, why, exc_info=unknown)
        self.phase, self.last_error, self._last_error_s = phase, why, time.monotonic()
        self._in_a_row += 1

    def _count(self, outcomes: Mapping[WriteOutcome, int]) -> None:
        """Of a flush that failed, too: what a leader that was replaced meanwhile tried is found there."""
        for outcome, count in outcomes.items():
            self._documents[outcome] += count

    # ---- the thread -------------------------------------------------------------------------------------------------
    # The result of a flush is noted on the loop, where leaderships begin and end. Otherwise the result of the previous
    # leadership could be counted for this one.

    def _run(self) -> None:
        try:
            while not self._bridge.stopping:
                began_s = time.monotonic()
                pause_s = None if (leadership := self._leadership) is None else self._flush(leadership)
                self._wake.wait(None if pause_s is None else max(0.0, began_s + pause_s - time.monotonic()))
                self._wake.clear()
            if (leadership := self._leadership) is not None and not self._failed_at_the_end:
                self._flush(leadership)
        finally:
            self._sink.close()
            self.phase = Phase.STOPPED

    def _flush(self, leadership: Leadership) -> float:
        """Flush once, and note the result. Returns how long after its beginning the next flush is due."""
        try:
            flush = leadership.flush()
        except Deposed:
            return self._after_deposition(leadership)
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

    def _after_deposition(self, leadership: Leadership) -> float:
        with suppress(Deposed, TimeoutError):
            self._bridge.call_on_loop(partial(self._deposed, leadership))
        return self._interval_s

    def _deposed(self, leadership: Leadership) -> None:
        """One term may have ended and another begun without a call to `_check_leadership`."""
        self._count(leadership.outcomes)
        self._check_leadership()

    def _note_success(self, leadership: Leadership, flush: Flush) -> None:
        with suppress(Deposed, TimeoutError):
            self._bridge.call_on_loop(partial(self._succeeded, leadership, flush))

    def _note_failure(self, leadership: Leadership, phase: Phase, why: str, unknown: Exception | None = None) -> None:
        self._failed_at_the_end = self._bridge.stopping
        if self._in_a_row == 0:
            leadership.write_all_again()
        with suppress(Deposed, TimeoutError):
            self._bridge.call_on_loop(partial(self._failed, leadership, phase, why, unknown))
