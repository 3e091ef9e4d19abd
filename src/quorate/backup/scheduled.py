"""Backups by a schedule: the leader alone takes them, in a thread of its own, while it counts.

What is stored already is read from the store, so a new leader goes on where the old one stopped: a backup that was due
and is not there is taken at once. A failed one is tried again until it is there.

A node that is deposed breaks off what it writes. If it does not know yet, it does no harm: its backup has a name that
no other has, and nothing is ever written over. It removes only what is older than the newest `keep` that it saw, and
backups that came since make those only older. Before it removes anything, a majority confirms that it leads.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from quorate.backup.due import StoredBackup, name_of, next_due_s, stored_among, too_old
from quorate.backup.envelope import pieces_of
from quorate.backup.store import BackupStore
from quorate.backup.taking import head_of
from quorate.cluster.loop_bridge import Deposed, LoopBridge
from quorate.cluster.replica import Replica
from quorate.errors import BackupNotWritten, QuorateError
from quorate.turns import ThreadTurns
from quorate.words import count

CONFIRM_S = 5.0  # for a majority to confirm that this node leads
RETRY_S = 60.0
LOOK_S = 30.0  # the longest sleep: clocks are set, and laptops wake
AGAIN_S = 1.0
LIMIT_S = 3600.0  # for one backup

log = logging.getLogger(__name__)


class Schedule(Protocol):
    @property
    def schedule(self) -> str: ...
    @property
    def keep(self) -> int: ...


class ScheduledBackups(msgspec.Struct):
    """What /status says of them. Only the leader knows of the last one."""

    schedule: str
    to: str
    leads: bool  # this node takes them now
    busy: bool  # one is being taken
    last: str | None  # the name of the newest that is whole
    last_version: int | None
    last_age_s: float | None
    next_in_s: float | None
    kept: int | None
    failures: int  # since this node leads
    failing_s: float | None  # since when none succeeded that was due
    last_error: str | None


@dataclass(slots=True)
class _LeaderKnows:
    """What one leadership knows."""

    last: StoredBackup | None = None
    next_s: float | None = None  # Unix
    kept: int | None = None
    failures: int = 0
    failing_since_s: float | None = None  # monotonic
    error: str | None = None
    not_removed: str | None = None  # why old ones are still there
    busy: bool = False


@dataclass(slots=True)
class _Taker:
    """One start of the thread."""

    bridge: LoopBridge
    thread: threading.Thread
    wake: threading.Event = field(default_factory=threading.Event)


class BackupSchedule:
    """Made, started and stopped on the node's loop. `confirm` waits until a majority confirmed what is committed."""

    def __init__(
        self,
        replica: Replica,
        store: BackupStore,
        settings: Schedule,
        *,
        confirm: Callable[[float], Coroutine[Any, Any, None]],
        clock: Callable[[], float] = time.time,
        retry_s: float = RETRY_S,
    ) -> None:
        self._replica, self._store, self._settings = replica, store, settings
        self._confirm, self._clock, self._retry_s = confirm, clock, retry_s
        self._leads = False
        self._told = _LeaderKnows()
        self._turns = ThreadTurns()
        self._taker: _Taker | None = None

    def start(self) -> None:
        thread = threading.Thread(
            target=self._run, name="backups", daemon=True
        )  # a hung disk must not hold the process
        self._taker = _Taker(LoopBridge(), thread)
        self._replica.on_leadership(self._leadership)
        self._leads = self._replica.is_leader
        thread.start()

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Break off what is being written. Idempotent."""
        taker, self._leads = self._taker, False
        if taker is not None:
            taker.bridge.stop_by(time.monotonic() + timeout_s)
            taker.wake.set()
            await asyncio.to_thread(taker.thread.join, timeout_s)

    def status(self) -> ScheduledBackups:
        told, now_s = self._told, self._clock()
        last, failing_s = told.last, told.failing_since_s
        return ScheduledBackups(
            schedule=self._settings.schedule,
            to=self._store.where,
            leads=self._leads,
            busy=told.busy,
            last=None if last is None else last.name,
            last_version=None if last is None else last.version,
            last_age_s=None if last is None else round(max(0.0, now_s - last.moment_s), 1),
            next_in_s=None if told.next_s is None else round(max(0.0, told.next_s - now_s), 1),
            kept=told.kept,
            failures=told.failures,
            failing_s=None if failing_s is None else round(time.monotonic() - failing_s, 1),
            last_error=told.error or told.not_removed,
        )

    def _leadership(self, leads: bool) -> None:
        self._leads = leads
        self._told = _LeaderKnows()
        if self._taker is not None:
            self._taker.wake.set()

    # ---- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        taker = self._taker
        assert taker is not None
        while not taker.bridge.stopping:
            taker.wake.clear()
            wait_s = LOOK_S
            if self._leads:
                wait_s = self._look(taker.bridge, self._told)
            taker.wake.wait(wait_s)

    def _look(self, bridge: LoopBridge, told: _LeaderKnows) -> float:
        """Take a backup if one is due. Returns for how long nothing is to be done. Never raises."""
        try:
            self._take_if_due(bridge, told)
        except Deposed:  # or it cannot lead yet: the cluster is being formed, or no majority answers
            return AGAIN_S if self._leads else LOOK_S
        except Exception as error:
            if not self._still_leads(bridge):
                return LOOK_S
            self._note_failure(told, error)
            return self._retry_s
        finally:
            told.busy = False
        told.failing_since_s = told.error = None
        assert told.next_s is not None
        return min(LOOK_S, max(0.05, told.next_s - self._clock()))

    def _take_if_due(self, bridge: LoopBridge, told: _LeaderKnows) -> None:
        cluster_id = bridge.call_on_loop(lambda: self._replica.state.cluster_id)
        if not cluster_id:
            raise Deposed
        if told.last is None or told.next_s is None or told.failing_since_s is not None:
            self._read_store(told, cluster_id)
        assert told.next_s is not None
        if told.next_s > self._clock():
            return
        told.busy = True
        began_s = time.monotonic()
        self._check_leads(bridge)
        moment_s = self._clock()
        image = bridge.call_on_loop(lambda: self._replica.state.freeze())
        name = name_of(cluster_id, moment_s, image.version)
        pieces = pieces_of(head_of(image, self._replica.node_id), image.chunks())
        size = self._store.put(name, self._while_leading(bridge, pieces))
        removed = self._remove_old(bridge, told, cluster_id)
        self._read_store(told, cluster_id)
        took_s = time.monotonic() - began_s
        log.info(
            "a backup of version %d is in %s: %s, %s in %.1f s; %d older ones removed",
            image.version, self._store.where, name, count(size, "byte"), took_s, removed,
        )  # fmt: skip

    def _read_store(self, told: _LeaderKnows, cluster_id: str) -> None:
        stored = stored_among(self._store.names(), cluster_id)
        told.last, told.kept = (stored[-1] if stored else None), len(stored)
        last_s = None if told.last is None else told.last.moment_s
        told.next_s = next_due_s(self._settings.schedule, last_s, self._clock())

    def _remove_old(self, bridge: LoopBridge, told: _LeaderKnows, cluster_id: str) -> int:
        """Returns how many. That they cannot be removed makes the new backup no worse, and is tried after the next."""
        told.not_removed = None
        removed = 0
        try:
            old = too_old(stored_among(self._store.names(), cluster_id), self._settings.keep)
            if old:
                self._check_leads(bridge)
            for each in old:
                self._store.remove(each.name)
                removed += 1
        except BackupNotWritten as error:
            told.not_removed = error.detail
            log.warning("a backup was taken, and old ones stay: %s", error.detail)
        return removed

    def _while_leading(self, bridge: LoopBridge, pieces: Iterator[bytes]) -> Iterator[bytes]:
        end_s = time.monotonic() + LIMIT_S
        while True:
            with self._turns.work():
                piece = next(pieces, None)
            if piece is None:
                return
            if not self._still_leads(bridge):
                raise Deposed
            if time.monotonic() > end_s:
                raise BackupNotWritten(f"{self._store.where} did not take the backup within {LIMIT_S:,.0f} s")
            yield piece

    def _check_leads(self, bridge: LoopBridge) -> None:
        """Raises `Deposed` unless a majority confirms now that this node leads."""
        try:
            bridge.wait(self._confirm(CONFIRM_S))
        except (QuorateError, TimeoutError):
            raise Deposed from None
        if not bridge.call_on_loop(lambda: self._replica.is_leader):
            raise Deposed

    def _still_leads(self, bridge: LoopBridge) -> bool:
        return self._leads and not bridge.stopping

    def _note_failure(self, told: _LeaderKnows, error: Exception) -> None:
        why = error.detail if isinstance(error, QuorateError) else repr(error)
        if told.error != why:
            log.warning("no scheduled backup: %s; it is tried again every %g s", why, self._retry_s)
        told.failures += 1
        told.error = why
        if told.failing_since_s is None:
            told.failing_since_s = time.monotonic()
