"""What a node says of itself: the answers of GET /status and GET /version. The field names are part of the answers."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from quorate import __version__
from quorate.auth_report import AuthStatus
from quorate.backup.scheduled import ScheduledBackups
from quorate.cluster.flush.flushers import Flushers
from quorate.cluster.flush.sink_status import SinkStatus
from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.state.sessions import FORGOTTEN_MAX, PRODUCERS_MAX
from quorate.cluster.state.tally import LISTINGS_MAX
from quorate.cluster.state.tombstones import TOMBSTONES_MAX
from quorate.cluster.submit.submitter import Submitter
from quorate.config import Config, masked_config
from quorate.doors.limits import Limits
from quorate.history.recorder import HistoryStatus
from quorate.measures import Measures
from quorate.resp.door import RespCounts
from quorate.tls_report import TlsStatus
from quorate.vote import ENTRY_BYTES_MAX, ID_BYTES_MAX, OPTION_BYTES_MAX, OPTIONS_PER_POLL_MAX, POLLS_MAX, WEIGHT_MAX

if TYPE_CHECKING:
    from quorate.cluster.discovery.registration import Registration, RegistrationStatus
    from quorate.ingest.source import Source


class DedupStatus(msgspec.Struct):
    size: int
    accepted: int
    held: int
    memory_bytes: int
    shares: dict[str, int]  # of tokens, by number: how many ids each that was used holds


class StateStatus(msgspec.Struct):
    cluster_id: str
    generation: int
    time_ms: int
    polls: int
    options: int  # of all polls together
    producers: int
    deleted_polls: int  # whose names are remembered
    forgotten_producers: int
    dedup: DedupStatus


class SubmitStatus(msgspec.Struct):
    waiting_bytes: int


class LimitsStatus(msgspec.Struct):
    option_bytes: int
    id_bytes: int
    weight: int
    options_per_poll: int
    polls: int
    options: int
    producers: int
    deleted_polls: int
    forgotten_producers: int
    entry_bytes: int
    request_bytes: int
    votes_per_request: int
    connections: int  # as many as the settings say and the system allows
    streams: int


class Status(msgspec.Struct):
    node: str
    version: int
    uptime_s: float
    listening: Mapping[str, Sequence[str]]  # the addresses that were bound: `http`, `raft`
    raft: Mapping[str, Any]
    state: StateStatus
    flush: SinkStatus | None  # of the first sink; None: no sink
    sinks: Mapping[str, SinkStatus]  # by name, each as `flush`
    sources: Mapping[str, Mapping[str, Any]]
    consul: RegistrationStatus | None  # None: not registered in Consul
    submit: SubmitStatus
    auth: AuthStatus
    tls: TlsStatus | None  # None: HTTP is served without TLS
    link_tls: TlsStatus | None  # of the links between nodes; None: they have a shared key
    resp: RespCounts | None  # None: it does not serve RESP
    history: HistoryStatus
    backups: ScheduledBackups | None  # None: backup.schedule is empty
    limits: LimitsStatus
    config: Mapping[str, Any]  # without secrets


class Version(msgspec.Struct):
    version: str
    pysyncobj: str
    python: str
    uptime_s: float
    node: str


class StatusReport:
    """Collects the status from the parts of a node. Used on the loop."""

    def __init__(
        self,
        config: Config,
        limits: Limits,
        *,
        replica: RaftReplica,
        submitter: Submitter,
        flushers: Flushers,
        sources: Sequence[Source],
        registration: Registration | None,
        listening: Callable[[], Mapping[str, Sequence[str]]],
        auth: Callable[[], AuthStatus],
        tls: Callable[[], TlsStatus] | None,
        link_tls: Callable[[], TlsStatus] | None,
        resp: RespCounts | None,
        history: Callable[[], HistoryStatus],
        backups: Callable[[], ScheduledBackups] | None,
    ) -> None:
        self._config, self._limits = config, limits
        self._replica, self._submitter = replica, submitter
        self._flushers, self._sources, self._registration = flushers, sources, registration
        self._listening, self._auth, self._tls, self._link_tls = listening, auth, tls, link_tls
        self._resp, self._history, self._backups = resp, history, backups
        self._started_s = time.monotonic()

    def status(self) -> Mapping[str, Any]:
        sinks = self._flushers.status()
        status = Status(
            node=self._config.node.id,
            version=self._replica.state.version,
            uptime_s=self._uptime_s(),
            listening=self._listening(),
            raft=self._replica.status().as_json(),
            state=_state_status(self._replica.state),
            flush=next(iter(sinks.values()), None),
            sinks=sinks,
            sources={source.name: source.status() for source in self._sources},
            consul=None if self._registration is None else self._registration.status(),
            submit=SubmitStatus(self._submitter.waiting_bytes),
            auth=self._auth(),
            tls=None if self._tls is None else self._tls(),
            link_tls=None if self._link_tls is None else self._link_tls(),
            resp=self._resp,
            history=self._history(),
            backups=None if self._backups is None else self._backups(),
            limits=_limits_status(self._limits),
            config=masked_config(self._config),
        )
        built: Mapping[str, Any] = msgspec.to_builtins(status)
        return built

    def version(self) -> Mapping[str, Any]:
        version = Version(
            version=__version__,
            pysyncobj=importlib.metadata.version("pysyncobj"),
            python=platform.python_version(),
            uptime_s=self._uptime_s(),
            node=self._config.node.id,
        )
        built: Mapping[str, Any] = msgspec.to_builtins(version)
        return built

    def measures(self) -> Measures:
        batches = {"batch_requests": self._submitter.batch_requests}
        return Measures({**self._replica.measures(), **batches}, self._flushers.flush_times())

    def _uptime_s(self) -> float:
        return round(time.monotonic() - self._started_s, 1)


def _state_status(state: StateMachine) -> StateStatus:
    dedup = state.dedup()
    shares = {str(number): held for number, held in dedup.shares.items() if number}
    return StateStatus(
        cluster_id=state.cluster_id,
        generation=state.generation,
        time_ms=state.time_ms,
        polls=len(state.polls()),
        options=state.listings,
        producers=len(state.producers),
        deleted_polls=len(state.tombstones()),
        forgotten_producers=len(state.producers.forgotten()),
        dedup=DedupStatus(dedup.window, dedup.accepted, dedup.held, dedup.memory_bytes, shares),
    )


def _limits_status(limits: Limits) -> LimitsStatus:
    return LimitsStatus(
        option_bytes=OPTION_BYTES_MAX,
        id_bytes=ID_BYTES_MAX,
        weight=WEIGHT_MAX,
        options_per_poll=OPTIONS_PER_POLL_MAX,
        polls=POLLS_MAX,
        options=LISTINGS_MAX,
        producers=PRODUCERS_MAX,
        deleted_polls=TOMBSTONES_MAX,
        forgotten_producers=FORGOTTEN_MAX,
        entry_bytes=ENTRY_BYTES_MAX,
        request_bytes=limits.body_bytes,
        votes_per_request=limits.votes,
        connections=limits.connections,
        streams=limits.events,
    )
