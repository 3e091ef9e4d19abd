"""Records what each poll has, second by second, for this node alone: see docs/design/history.md.

With each entry it takes over the names of what changed. All else happens once a second, or on the thread of the file.
Nothing that goes wrong here is raised to anybody but who asks for a history.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from quorate.cluster.fsm import Applied, StateMachine
from quorate.cluster.read.chunks import is_big
from quorate.cluster.replica import Replica
from quorate.errors import NotReady
from quorate.history.history_file import HistoryBatch, HistoryDatabase, Kept, PollKey, PollRow, Span, Table
from quorate.history.measuring import Measured, measure, measure_big
from quorate.history.steady_clock import SteadyClock
from quorate.turns import Turns
from quorate.vote import POLLS_MAX

FRESH_MS = 3_000  # a state that may be older is not recorded
BREAK_S = 3  # after which a span has ended
POLLS_A_SECOND, OPTIONS_A_SECOND = 500, 20_000  # that are looked at; the others wait
OPTIONS_BETWEEN = 1_000  # between two of these the loop does other things
NAMES_MAX = 50_000  # of options that changed; with more, all polls count as changed
WRITE_EVERY_S = 5
READ_S = 5.0
ROWS_WAITING_MAX = 20_000
MINUTE_S = 60
MINUTES_TRIMMED_EVERY_S = 600
LATE_S = 0.005  # behind the second, so that it has begun

log = logging.getLogger(__name__)


class HistoryStatus(msgspec.Struct):
    recording: bool  # now: this node knows what is counted, and can write it
    problem: str  # why the file cannot be written or read; "" if it can
    bytes: int


@dataclass(slots=True)
class OpenSpan:
    """A time in which all was recorded, up to now. `last`: the newest row of each poll that has one."""

    state: StateMachine
    began: int
    ended: int
    minute: int
    last: dict[str, PollRow]


class History:
    """Used on the node's loop. `age_ms` tells how old this node's state can be."""

    def __init__(
        self,
        replica: Replica,
        folder: Path,
        age_ms: Callable[[], int],
        *,
        turns: Turns | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._replica, self._age_ms = replica, age_ms
        self._turns = turns or Turns()
        self.clock = clock or SteadyClock()
        self._file = HistoryDatabase(folder)
        self._thread = ThreadPoolExecutor(1, "history")
        self._span: OpenSpan | None = None
        self._last_tick: int | None = None
        self._options: set[str] = set()  # whose shared totals changed
        self._polls: dict[str, None] = {}  # that changed; the one that waits longest is first
        self._big: dict[str, None] = {}  # the same, of those with very many options
        self._in_minute: dict[str, None] = {}  # that got a row since the last minute
        self._batch = HistoryBatch()
        self._writing: asyncio.Future[None] | None = None
        self._written_span: Span | None = None
        self._told = ""  # the last trouble that the log has
        self._big_task: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        replica.on_applied(self._on_applied)

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Write what is there, and end. Idempotent."""
        if self._closed:
            return
        self._closed = True
        tasks = [task for task in (self._task, self._big_task) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        with contextlib.suppress(OSError, sqlite3.Error):
            if (writing := self._write()) is not None:
                await writing
        self._thread.submit(self._file.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def read(self, poll: PollKey, table: Table, begin: int, end: int) -> Kept:
        """What is recorded of a poll, up to now. Nothing, where the file cannot be read: `status` says why.

        Raises `NotReady` if the disk does not answer.
        """
        if self._closed:
            return Kept()
        cluster = self._replica.state.cluster_id
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(READ_S):
                if self._writing is not None:
                    await asyncio.wait([self._writing])  # no more of them wait, however many readers come
                self._write()
                return await loop.run_in_executor(self._thread, self._file.read, cluster, poll, table, begin, end)
        except TimeoutError:
            raise NotReady("the disk of this node's history does not answer; try again, or ask another node") from None
        except (OSError, sqlite3.Error, RuntimeError):  # the last: the thread has ended meanwhile
            return Kept()

    def now(self) -> int:
        """The last second that is recorded, or would be."""
        return int(self.clock()) if self._span is None else self._span.ended

    def status(self) -> HistoryStatus:
        problem = self._file.problem
        return HistoryStatus(self._span is not None and not problem, problem, self._file.bytes)

    # ---- what changed -----------------------------------------------------------------------------------------------

    def _on_applied(self, applied: Applied) -> None:
        if self._span is None:
            return  # with a span, each poll is looked at
        self._options.update(applied.options)
        if applied.polls:
            self._polls.update(dict.fromkeys(applied.polls))

    async def _find_polls(self, span: OpenSpan) -> None:
        """The polls of the options that changed: as many as there is time for, but all of an option."""
        state = span.state
        if len(self._options) > NAMES_MAX:
            self._options.clear()
            self._polls.update(dict.fromkeys(state.some_polls(POLLS_MAX)))
        room, since_rest = OPTIONS_A_SECOND, 0
        while self._options and room > 0 and self._goes_on(span):
            found = tuple(state.polls_with(self._options.pop()))
            self._polls.update(dict.fromkeys(found))
            room, since_rest = room - 1 - len(found), since_rest + 1 + len(found)
            if since_rest >= OPTIONS_BETWEEN:
                since_rest = 0
                await asyncio.sleep(0)

    # ---- seconds ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(1 - self.clock() % 1 + LATE_S)
            try:
                await self.tick()
            except Exception:
                log.exception("the history has a gap here; counting goes on")
                self._end_span()

    async def tick(self) -> None:
        """Record the second that it is now."""
        now = int(self.clock())
        if self._age_ms() > FRESH_MS:
            self._end_span()
        else:
            span = self._span_at(now)
            await self._find_polls(span)
            await self._look_at_polls(span, now)
            if self._span is span:
                span.ended = max(span.ended, now)
                self._end_minute(span, now)
        if now % WRITE_EVERY_S == 0:
            self._write_if_idle()

    def _span_at(self, now: int) -> OpenSpan:
        """The one that goes on, or a new one."""
        span, state, last = self._span, self._replica.state, self._last_tick
        self._last_tick = now
        is_set_back = last is None or now < last  # now, or perhaps while this node was down
        if span is not None and span.state is state and now - span.ended <= BREAK_S and not is_set_back:
            return span
        self._begin_batch()
        self._batch.forget_after = now if is_set_back else self._batch.forget_after
        self._batch.only = set(state.poll_keys())
        self._polls = dict.fromkeys(id for id, _ in state.poll_keys())
        self._span = OpenSpan(state, now, now, now // MINUTE_S, {})
        return self._span

    def _begin_batch(self) -> None:
        """What was recorded before is written apart: a new span may take some of it away."""
        self._end_span()
        self._write()

    def _end_span(self) -> None:
        if self._span is not None:
            self._batch.spans.append((self._span.began, self._span.ended))
        self._span = None
        for changed in (self._options, self._polls, self._big, self._in_minute):
            changed.clear()

    async def _look_at_polls(self, span: OpenSpan, now: int) -> None:
        polls, options, since_rest = POLLS_A_SECOND, OPTIONS_A_SECOND, 0
        while self._polls and polls > 0 and options > 0 and self._goes_on(span):
            id = next(iter(self._polls))
            del self._polls[id]
            seen = self._look_at(span, id, now)
            polls, options, since_rest = polls - 1, options - seen, since_rest + seen
            if since_rest > OPTIONS_BETWEEN:
                since_rest = 0
                await asyncio.sleep(0)
        if self._big and self._big_task is None and not self._closed:
            self._big_task = asyncio.ensure_future(self._look_at_big(span))

    def _goes_on(self, span: OpenSpan) -> bool:
        return self._span is span and self._replica.state is span.state

    def _look_at(self, span: OpenSpan, id: str, now: int) -> int:
        """Returns how many options were read."""
        poll = span.state.poll(id)
        if poll is None:
            self._batch.deleted[id] = None
            span.last.pop(id, None)
            self._in_minute.pop(id, None)
            return 1
        if is_big(poll):
            self._big[id] = None
            return 1
        results = span.state.results(id) or {}
        self._take(span, (id, poll.creation), now, measure(results.values()))
        return 1 + len(results)

    async def _look_at_big(self, span: OpenSpan) -> None:
        try:
            while self._big and self._goes_on(span):
                id = next(iter(self._big))
                del self._big[id]
                seen = await self._look_at_one_big(span, id)
                await asyncio.sleep(seen / OPTIONS_A_SECOND)
        except Exception:
            log.exception("a big poll has a gap in its history; counting goes on")
        finally:
            self._big_task = None

    async def _look_at_one_big(self, span: OpenSpan, id: str) -> int:
        async with self._turns.of("the history"):
            poll, columns = span.state.poll(id), span.state.columns(id)
            if poll is None or columns is None or not self._goes_on(span):
                return 0  # that it was deleted is told as of any other
            now = int(self.clock())
            measured = await measure_big(columns, self._turns.rest)
        after = self._replica.state.poll(id)
        if self._goes_on(span) and after is not None and after.creation == poll.creation:
            self._take(span, (id, poll.creation), now, measured)
        return len(columns)

    def _take(self, span: OpenSpan, poll: PollKey, now: int, measured: Measured) -> None:
        before = span.last.get(poll[0])
        if before is not None and (before.poll, before.measured) == (poll, measured):
            return
        if (before is not None and before.poll != poll) or poll[0] in self._batch.deleted:
            self._batch.deleted[poll[0]] = poll[1]
        row = span.last[poll[0]] = PollRow(poll, now, measured)
        self._batch.seconds.append(row)
        self._in_minute[poll[0]] = None

    def _end_minute(self, span: OpenSpan, now: int) -> None:
        minute = now // MINUTE_S
        if minute == span.minute:
            return
        span.minute = minute
        rows = (span.last[id] for id in self._in_minute)
        self._batch.minutes += [row._replace(time=minute * MINUTE_S) for row in rows]
        self._in_minute.clear()
        self._batch.trim.append(("seconds", now))
        if minute * MINUTE_S % MINUTES_TRIMMED_EVERY_S == 0:
            self._batch.trim.append(("minutes", now))

    # ---- writing ----------------------------------------------------------------------------------------------------

    def _write_if_idle(self) -> None:
        if self._writing is None:
            self._write()
        elif len(self._batch.seconds) + len(self._batch.minutes) > ROWS_WAITING_MAX:
            self._give_up("its disk is too slow")

    def _write(self) -> asyncio.Future[None] | None:
        """Have the thread write all that waits. What is asked of the file from now on comes after it."""
        batch, self._batch = self._batch, HistoryBatch()
        if self._span is not None and (span := (self._span.began, self._span.ended)) != self._written_span:
            batch.spans.append(span)
            self._written_span = span
        if batch == HistoryBatch():
            return None
        loop, cluster = asyncio.get_running_loop(), self._replica.state.cluster_id
        self._writing = loop.run_in_executor(self._thread, self._file.write, cluster, batch)
        self._writing.add_done_callback(partial(self._written, batch))
        return self._writing

    def _written(self, batch: HistoryBatch, done: asyncio.Future[None]) -> None:
        if self._writing is done:
            self._writing = None
        if done.cancelled():
            return
        if (error := done.exception()) is None:
            self._told = ""
            return
        self._give_up(str(error))
        self._batch.forget_after = batch.forget_after

    def _give_up(self, why: str) -> None:
        """What was not written is a gap."""
        if why != self._told:
            log.warning("the history has a gap here, and counting goes on: %s", why)
        self._told, self._span, self._batch = why, None, HistoryBatch()
        self._end_span()
