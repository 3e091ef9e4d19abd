"""All sinks of a node, each with a flusher of its own, and what concerns them together.

The flushers know nothing of each other: each has its fence, lag, outage and phase, and a dead sink does not hold the
others up. They share three things. `Imports` keeps two sinks from importing one poll twice. `Deletions` knows which
deleted polls all of them have marked. The generation belongs to the
state machine and so to all sinks: when one sink is adopted, every sink is written anew and gets back the documents that
were deleted by hand. That is harmless to tallies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from quorate.cluster.entry import Done, RaiseGeneration, Result
from quorate.cluster.flush.deletions import Deletions
from quorate.cluster.flush.flusher import STOP_S, Flusher, FlushTold
from quorate.cluster.flush.imports import Imports
from quorate.cluster.flush.sink_status import SinkStatus
from quorate.cluster.replica import Replica
from quorate.errors import Invalid, NotReady
from quorate.measures import Histogram
from quorate.sinks.deletable import DeletableSink
from quorate.sinks.importable import ImportableSink
from quorate.sinks.sink import Sink, SinkError

log = logging.getLogger(__name__)

Command = Callable[[RaiseGeneration], Awaitable[tuple[Result, int]]]


@dataclass(frozen=True, slots=True)
class Adopted:
    """What `quorate sink adopt` did."""

    documents: int  # of other clusters, that are this cluster's now
    generation: int
    sinks: Mapping[str, int]  # the documents of each sink


class Flushers:
    """Made, started and stopped on the node's loop. The sinks' names differ."""

    def __init__(
        self,
        replica: Replica,
        sinks: Sequence[Sink],
        *,
        interval_s: float = 1.0,
        timeout_s: float = 10.0,
        told: FlushTold | None = None,
    ) -> None:
        self._replica = replica
        imports = Imports(replica, [sink.name for sink in sinks if isinstance(sink, ImportableSink)])
        self._deletions = Deletions(replica, [sink.name for sink in sinks if isinstance(sink, DeletableSink)])
        self._flushers = {
            sink.name: Flusher(
                replica, sink, imports, self._deletions, interval_s=interval_s, timeout_s=timeout_s, told=told
            )
            for sink in sinks
        }

    def __getitem__(self, name: str) -> Flusher:
        return self._flushers[name]

    def __iter__(self) -> Iterator[Flusher]:
        return iter(self._flushers.values())

    @property
    def names(self) -> Sequence[str]:
        return list(self._flushers)

    def start(self) -> None:
        self._deletions.start()
        for flusher in self._flushers.values():
            flusher.start()

    async def stop(self, timeout_s: float = STOP_S) -> None:
        """If this node leads, flush once more to each sink, to all at once; at most `timeout_s`. Idempotent."""
        await asyncio.gather(*(flusher.stop(timeout_s) for flusher in self._flushers.values()))

    def caught_up(self, name: str) -> tuple[bool, str]:
        return self._flushers[name].caught_up()

    def status(self) -> Mapping[str, SinkStatus]:
        """What /status says of each sink."""
        return {name: flusher.status() for name, flusher in self._flushers.items()}

    def flush_times(self) -> Mapping[str, Histogram]:
        return {name: flusher.flush_times for name, flusher in self._flushers.items()}

    async def adopt(self, command: Command, name: str | None = None) -> Adopted:
        """Take one sink over, or all: other clusters' documents become this cluster's, and the generation goes up.

        So the leader writes every poll again, under a fence above every other. On any node; safe to repeat.
        Raises `QuorateError`; it names the sinks that could not be taken over, while the others were.
        """
        chosen = self._chosen(name)
        cluster_id = self._replica.state.cluster_id
        if not cluster_id:
            raise NotReady("the cluster is being formed; try again in a moment")
        answers = await asyncio.gather(*(flusher.adopt(cluster_id) for flusher in chosen), return_exceptions=True)
        documents = {f.name: found for f, found in zip(chosen, answers, strict=True) if isinstance(found, int)}
        failures = {f.name: found for f, found in zip(chosen, answers, strict=True) if isinstance(found, BaseException)}
        untaken = "; ".join(f"{name} is not: {_why(failure)}" for name, failure in failures.items())
        if not documents:
            raise NotReady(f"nothing is taken over; {untaken}")
        result, _ = await command(RaiseGeneration("quorate sink adopt"))
        assert isinstance(result, Done), result
        if untaken:
            raise NotReady(f"{', '.join(documents)} is taken over, generation {result.value}; {untaken}")
        return Adopted(sum(documents.values()), result.value, documents)

    def _chosen(self, name: str | None) -> list[Flusher]:
        if not self._flushers:
            raise NotReady("this node writes to no sink (flush.sinks is empty)")
        if name is None:
            return list(self._flushers.values())
        if name not in self._flushers:
            raise Invalid(f"this node has no sink {name!r}; it has {', '.join(self._flushers)}")
        return [self._flushers[name]]


def _why(failure: BaseException) -> str:
    """In words. A mistake of one sink's own must not leave the others half taken over, without a new generation."""
    if isinstance(failure, SinkError):
        return str(failure)
    if not isinstance(failure, Exception):
        raise failure
    log.error("a sink failed in a way that is a bug", exc_info=failure)
    return repr(failure)
