"""One run: clients and faults at the same time, then the end, and the whole history in a file.

`OwnCluster` is a cluster of this run's own, which is broken and mended. `Elsewhere` is one that somebody else runs, and
perhaps breaks: there are only clients. What follows is the same for both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from quorate import __version__
from quorate.chaos.faulting import BrokenNow
from quorate.chaos.history import FORMAT, End, Fault, Header, HistoryFile, OpenSession, PollChange, Reached
from quorate.chaos.noticing import Noticing
from quorate.chaos.workload.exchange import AskedNode
from quorate.chaos.workload.node_looks import KnownState
from quorate.chaos.workload.queue_voter import QueuePlace
from quorate.chaos.workload.recorder import LiveCounts
from quorate.chaos.workload.sink_looks import SinkRows
from quorate.chaos.workload.workload import LoadShape, Workload
from quorate.processes.waiting import NeverHappened

SETTLE_S = 60.0
UNHEALED_SETTLE_S = 10.0  # if the cluster did not mend, most of what is asked in the end has no answer


@dataclass(frozen=True, slots=True)
class Facts:
    """What a history's first line says of the cluster."""

    urls: Mapping[str, str]
    window: int  # so many ids later an id is still known
    is_ours: bool
    faults: Sequence[str] = ()
    asked: Sequence[str] = ()  # situations that are asked for
    settings: Mapping[str, Any] = field(default_factory=dict)
    table: int = 0  # the common dedup window, if that is another one


class Scenery(Protocol):
    """What a run needs of the cluster that it runs against. It is open already."""

    @property
    def nodes(self) -> Sequence[AskedNode]: ...

    @property
    def sinks(self) -> Sequence[SinkRows]:
        """Databases that the cluster writes to, and that can be looked at."""

    @property
    def queue(self) -> QueuePlace | None: ...

    @property
    def facts(self) -> Facts: ...

    def known(self, node: str) -> KnownState: ...

    def is_network(self, fault: str) -> bool: ...

    def broken(self) -> Sequence[BrokenNow]: ...

    def troubles(self) -> Sequence[str]: ...

    def disturb(self, told: Callable[[Fault], None], now: Callable[[], float], until: float) -> None:
        """Break things until that moment, or until the run is told to stop. Raises `NeverHappened`."""

    def mend(self) -> None:
        """Raises `NeverHappened`."""


@dataclass(slots=True)
class RunView:
    """What the terminal shows of a run. It is read while the run goes on."""

    phase: str = "starting"
    passed_s: float = 0.0
    counts: LiveCounts = field(default_factory=LiveCounts)
    broken: Sequence[BrokenNow] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    elections: int = 0
    faults: int = 0
    reached: Mapping[str, int] = field(default_factory=dict)


class ChaosRun:
    """`run` in one thread; `view` and `stop` from any."""

    def __init__(
        self,
        scenery: Scenery,
        history: HistoryFile,
        *,
        seed: int,
        prefix: str,
        duration_s: float,
        stopping: threading.Event,
        shape: LoadShape | None = None,
        command: str = "",
    ) -> None:
        self._scenery, self._history, self._stopping = scenery, history, stopping
        self._seed, self._duration_s, self._command = seed, duration_s, command
        self._phase = "starting"
        self._faults = 0
        self._workload = Workload(
            scenery.nodes,
            history,
            prefix=prefix,
            seed=seed,
            window=scenery.facts.window,
            known=scenery.known,
            noticed=lambda now, before: self._noticing.look(now, before),
            changed=self._changed,
            sinks=scenery.sinks,
            queue=scenery.queue,
            shape=shape,
        )
        self._noticing = Noticing(
            scenery.broken, scenery.is_network, self._workload.recorder.last_ack_of, self._note_reached
        )
        self._began_ms = int(time.time() * 1000)
        history.failed = stopping.set  # without its history nothing can be judged

    # ---- the run ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the history has its end, or cannot have one. Raises `OSError` if it cannot be written."""
        recorder, scenery = self._workload.recorder, self._scenery
        self._history.write(self._header())
        try:
            self._workload.start()
            self._phase = "running"
            words = self._disturb()
            self._phase = "settling"
            self._workload.stop()
            words = self._settle(words)
            recorder.write_open()
            troubles = "; ".join(scenery.troubles())
            if self._workload.failure is not None:
                words = words or f"a client failed: {self._workload.failure!r}"
            end = End(recorder.now(), recorder.operations, settled=not words, words=words or troubles)
            self._history.write(end)
        finally:
            self._workload.close()
            self._phase = "over"
            self._history.flush()

    def _disturb(self) -> str:
        """Why the cluster is not whole afterwards. Empty: it is."""
        recorder = self._workload.recorder
        try:
            self._scenery.disturb(self._fault, recorder.now, self._duration_s)
            self._history.flush()
            self._phase = "mending"
            self._scenery.mend()
        except NeverHappened as error:
            return f"the cluster did not become whole after the faults: {str(error).splitlines()[0]}"
        return ""

    def _settle(self, words: str) -> str:
        """Why not everything is known. Empty: it is."""
        open_questions = self._workload.settle(UNHEALED_SETTLE_S if words else SETTLE_S)
        return "; ".join(each for each in (words, open_questions) if each)

    def _header(self) -> Header:
        facts = self._scenery.facts
        return Header(
            FORMAT,
            __version__,
            self._seed,
            self._began_ms,
            dict(facts.urls),
            facts.window,
            faults=list(facts.faults),
            asked_to_reach=list(facts.asked),
            duration_s=self._duration_s,
            is_ours=facts.is_ours,
            settings=dict(facts.settings),
            command=self._command,
            dedup_table=facts.table,
        )

    # ---- what happens meanwhile -------------------------------------------------------------------------------------

    def _fault(self, fault: Fault) -> None:
        self._history.write(fault)
        if fault.phase == "begin":
            self._faults += 1
            broken = BrokenNow(fault.number, fault.name, fault.at, fault.victims, fault.words)
            self._noticing.fault_begins(broken, self._workload.recorder.votes_in_flight(fault.at))
        else:
            self._noticing.fault_ended(fault.name, fault.at, fault.words)

    def _changed(self, operation: PollChange | OpenSession) -> None:
        self._noticing.change(operation)

    def _note_reached(self, reached: Reached) -> None:
        self._history.write(reached)

    def view(self) -> RunView:
        """From any thread."""
        workload = self._workload
        sights = {watcher.node: watcher.sight for watcher in workload.watchers}
        return RunView(
            self._phase,
            workload.recorder.now(),
            workload.recorder.counts,
            self._scenery.broken(),
            {node: sight.look.role if sight else "" for node, sight in sights.items()},
            self._noticing.elections,
            self._faults,
            dict(self._noticing.reached),
        )

    def stop(self) -> None:
        """End early: settle, and have what there is judged. From any thread."""
        self._stopping.set()

    @property
    def prefix(self) -> str:
        return self._workload.scene.polls.prefix
