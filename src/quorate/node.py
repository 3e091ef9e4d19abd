"""One node: the only place that knows all parts, makes them, and says in which order they start and stop.

Start: listen for HTTP (/readyz says no until there is a leader), then the replica, the flushers, the sources, Consul.
Stop: leave Consul, stop the sources, drain HTTP so that clients get the answers they were promised, hand leadership
over, stop the flushers and the replica.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from quorate import __version__, descriptors, logs
from quorate.adapters import make_backups, make_registration, make_sinks, make_sources, make_tracer
from quorate.auth_report import AuthReport
from quorate.cluster.admin import Admin
from quorate.cluster.audit.sink_audit import SinkAudits
from quorate.cluster.entry import Command, RaiseGeneration, Result
from quorate.cluster.flush.flushers import Adopted, Flushers
from quorate.cluster.fsm import Applied
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.environment import ReplicaSettings
from quorate.cluster.raft.membership import removal
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.raft.transport.handshake.credentials import Credentials
from quorate.cluster.read.digests import Digests
from quorate.cluster.read.reads import Reads
from quorate.cluster.submit.submitter import Submitter
from quorate.cluster.submit.timed_close import TimedClose
from quorate.cluster_settings import ClusterSettings
from quorate.cluster_view import ClusterView
from quorate.config import Config
from quorate.doors.access import Access
from quorate.doors.events import Events
from quorate.doors.limits import Limits
from quorate.doors.rates import Rates
from quorate.doors.waiting_line import WaitingLine
from quorate.errors import Halted, QuorateError, Removed
from quorate.exit_code import DONE, FAILED, HALTED, REMOVED
from quorate.history.recorder import History
from quorate.http.api import Api, Check
from quorate.http.origins import Origins
from quorate.http.server import HttpServer
from quorate.joining import Joining
from quorate.link_credentials import link_credentials
from quorate.parts import Part, Parts
from quorate.readiness import Readiness
from quorate.resp.door import Door, RespCounts
from quorate.resp.server import RespServer
from quorate.seams import NONE, Seams
from quorate.security.link_tls import LinkContexts
from quorate.security.tls import server_tls
from quorate.security.token_file import TokenFile
from quorate.settings_watch import SettingsWatch
from quorate.status import StatusReport
from quorate.tls_report import TlsReport
from quorate.turns import Turns

# How long a part may take to stop, beyond the deadlines that it keeps by itself.
STOP_SPARE_S = 5.0
STREAMS_PERCENT_MAX = 75  # of the connections: a stream is never closed to make room, and votes need some

log = logging.getLogger(__name__)


class Node:
    """Made on a running loop. `run` starts it, waits until it is told to stop, and stops it."""

    def __init__(self, config: Config, given: Collection[str] = (), seams: Seams = NONE) -> None:
        """`given` are the names of the settings that are no defaults."""
        self.config = config
        self._stop_asked = asyncio.Event()
        self._failure: BaseException | None = None
        self._consul_knows_cluster = False
        self.tls = server_tls(*config.http.tls_pair) if config.http.tls_pair else None
        self.tokens = TokenFile(Path(config.auth.file) if config.auth.file else None)
        self.tracer = make_tracer(config)
        self.directory = DataDirectory.open(
            config.node.data,
            node_id=config.node.id,
            cluster_name=config.node.cluster,
            open_files=seams.open_files,
        )
        self.replica = RaftReplica(
            seams.sized(_replica_settings(config, self._credentials())),
            self.directory,
            on_halt=self._halted,
            environment=seams.environment(),
        )
        logs.tell_where(lambda: self.replica.place)
        self.joining = Joining(config, self.replica, failed=self._halted)
        self._turns = Turns(lambda: self.replica.state.version)
        self.reads = Reads(self.replica, turns=self._turns)
        self.history = History(
            self.replica, Path(config.node.data), lambda: self.reads.staleness.age_ms, turns=self._turns
        )
        self.submitter = Submitter(
            self.replica,
            waiting_bytes_max=config.votes.queue_bytes,
            catch_up=self.reads.catch_up,
            turn=WaitingLine(version=lambda: self.replica.state.version).turn,
            tells_steps=self.tracer is not None,
        )
        self.timed_close = TimedClose(self.replica)
        self.flushers = Flushers(
            self.replica,
            make_sinks(config),
            interval_s=config.flush.interval_ms / 1000,
            timeout_s=config.flush.timeout_ms / 1000,
            told=None if self.tracer is None else self.tracer.flushed,
        )
        self.backups = make_backups(config, self.replica, self.reads.catch_up)
        self.sources = make_sources(config, self.submitter)
        self.readiness = Readiness(self.replica, self.joining, self.flushers)
        self.registration = make_registration(config, self.readiness.why_not)
        self.settings = ClusterSettings(
            config,
            given,
            self.replica,
            self.submitter,
            members=lambda: [member.id for member in self.replica.members()],
            levels=lambda: self.replica.status().feature_levels,
            tokens=lambda: self.tokens.tokens,
        )
        self.settings_watch = SettingsWatch(self.replica, self.settings, is_known=lambda: self.reads.staleness.is_known)
        self.cluster = ClusterView(config, self.replica)
        self.resp_counts = RespCounts()
        api = self._api()
        self.tokens.on_change(api.end_revoked)
        self.http = HttpServer(api, tls=self.tls)
        self.resp = RespServer(self._resp_door(api), tls=self.tls)
        self._parts = Parts(self.in_order())

    def _credentials(self) -> Credentials:
        is_new = self.directory.identity.cluster_id is None
        try:
            return link_credentials(self.config, forms_cluster=is_new and self.config.raft.bootstrap)
        except BaseException:
            self.directory.close()
            raise

    def _api(self) -> Api:
        limits = _limits(self.config)
        cluster = self.cluster
        access = Access(
            self.tokens,
            self.config.auth.anonymous_role(self.config.http, self.config.resp),
            Rates(self.config.auth.anonymous_rate),
        )
        auth = AuthReport(self.tokens, access)
        auth.warn()
        report = StatusReport(
            self.config,
            limits,
            replica=self.replica,
            submitter=self.submitter,
            flushers=self.flushers,
            sources=self.sources,
            registration=self.registration,
            listening=self._listening,
            auth=auth.status,
            tls=None if self.tls is None else TlsReport(self.tls).status,
            link_tls=None if (links := self._link_tls()) is None else links.status,
            resp=self.resp_counts if self.config.resp.listen else None,
            history=self.history.status,
            backups=None if self.backups is None else self.backups.status,
        )
        return Api(
            replica=self.replica,
            submitter=self.submitter,
            reads=self.reads,
            digests=Digests(self.replica),
            events=Events(
                self.replica,
                self.reads.big,
                self._turns,
                streams_max=limits.events,
                address_percent=limits.address_percent,
            ),
            turns=self._turns,
            members=cluster.members,
            nodes=cluster.nodes,
            status=report.status,
            version=report.version,
            measures=report.measures,
            operator=Admin(self.replica),
            adopt_sink=self._adopt_sink,
            settings=self.settings,
            history=self.history,
            auditor=SinkAudits(self.replica, self.flushers, self._turns, self._bring_back),
            checks=[*self.readiness.checks, *self._own_checks(auth)],
            access=access,
            tracer=self.tracer,
            origins=Origins(self.config.http.hosts, cluster.urls, self.config.http.scheme),
            limits=limits,
        )

    def _resp_door(self, api: Api) -> Door:
        return Door(
            node_id=self.config.node.id,
            version=__version__,
            replica=self.replica,
            submitter=self.submitter,
            reads=self.reads,
            read_places=api.places,
            access=api.access,
            events=api.events,
            turns=api.turns,
            limits=api.limits,
            places=self.http.places,
            unsent=self.http.unsent,
            waiting=self.http.waiting,
            nodes=self.cluster.resp_nodes,
            leader_address=self.cluster.resp_leader,
            voters=lambda: sum(member.voter for member in self.replica.members()),
            timeout_s=self.config.resp.timeout_ms / 1000,
            allow_unkeyed=self.config.resp.allow_unkeyed,
            tracer=self.tracer,
            counts=self.resp_counts,
        )

    def _own_checks(self, auth: AuthReport) -> list[Check]:
        checks = [Check("settings", self.settings_watch.check), Check("tokens", auth.check)]
        if self.tls is not None:
            checks.append(Check("certificate", TlsReport(self.tls).check))
        if (links := self._link_tls()) is not None:
            checks.append(Check("link certificate", links.check))
        return checks

    def _link_tls(self) -> TlsReport | None:
        links = self.replica.settings.credentials.tls
        return TlsReport(links.live, "raft.tls_cert", "peers") if isinstance(links, LinkContexts) else None

    def _listening(self) -> Mapping[str, Sequence[str]]:
        return {"http": self.http.listening, "resp": self.resp.listening, "raft": self.replica.transport.listening}

    def in_order(self) -> list[Part]:
        """The parts in the order in which they start. They stop in the reverse order."""
        http, consul_s = self.config.http, self.config.consul.timeout_ms / 1000
        thread_s = 4 * consul_s + 1 + STOP_SPARE_S  # a thread that talks to Consul ends after a few calls at most
        drain_s = http.drain_s + STOP_SPARE_S
        resp = [addresses] if (addresses := self.config.resp.addresses) else []
        parts = [
            *([] if self.tracer is None else [Part("the traces", stop=self.tracer.stop)]),
            Part("the tokens", start=self.tokens.start, stop=self.tokens.stop),
            *([] if self.tls is None else [Part("the certificate", start=self.tls.start, stop=self.tls.stop)]),
            Part("HTTP", start=partial(self.http.start, http.addresses)),
            *(Part("RESP", start=partial(self.resp.start, addresses)) for addresses in resp),
            Part("the replica", start=self._start_replica, stop=self.replica.stop),
            Part("the submitter", stop=self.submitter.stop),
            Part("the age of reads", start=self.reads.staleness.start, stop=self.reads.staleness.stop),
            Part("the history", start=self.history.start, stop=self.history.stop),
            Part("timed closing", start=self.timed_close.start, stop=self.timed_close.stop),
            Part("the settings", start=self.settings_watch.start, stop=self.settings_watch.stop),
            Part("the flush", start=self.flushers.start, stop=self.flushers.stop),
            *([] if (made := self.backups) is None else [Part("the backups", start=made.start, stop=made.stop)]),
            Part("leadership", stop=self.replica.transfer_leadership),
            Part(
                "HTTP's requests",
                stop=partial(self.http.stop, http.drain_s),
                stop_s=drain_s,
            ),
            *(Part("RESP's commands", stop=partial(self.resp.stop, http.drain_s), stop_s=drain_s) for _ in resp),
            *(Part(source.name, start=source.start, stop=source.stop) for source in self.sources),
        ]
        if self.registration is not None:
            leave = partial(asyncio.to_thread, self.registration.stop)
            parts.append(Part("Consul", start=self._start_registration, stop=leave, stop_s=thread_s))
        parts.append(Part("the search for peers", start=self.joining.start, stop=self.joining.stop, stop_s=thread_s))
        return parts

    # ---- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """The exit code. Raises `QuorateError` if the node cannot start."""
        try:
            if (why := removal.noted(self.directory)) is not None:
                raise Removed(why)
            await self._parts.start()
            log.info("%s serves %s; its log is in %s", self.config.node.id, self.config.http.url, self.config.node.data)
            await self._stop_asked.wait()
        except Halted as error:  # what is on its disk says so already
            self._failure = error
        finally:
            self._note_removal()
            await self._parts.stop()
        if self._failure is not None:
            detail = self._failure.detail if isinstance(self._failure, QuorateError) else repr(self._failure)
            log.critical("%s stopped itself: %s", self.config.node.id, detail)
            return _code_of(self._failure)
        log.info("%s stopped", self.config.node.id)
        return DONE

    def ask_to_stop(self) -> None:
        self._stop_asked.set()

    def _note_removal(self) -> None:
        if isinstance(self._failure, Removed):
            try:
                removal.note(self.directory, self._failure.detail)
            except OSError as error:
                log.warning("the removal cannot be noted on the disk: %s", error)

    def _halted(self, error: BaseException) -> None:
        self._failure = error
        self._stop_asked.set()

    async def _start_replica(self) -> None:
        await self.replica.start()
        gc.freeze()  # the restored state lives as long as the process, so no full collection needs to walk it

    def _start_registration(self) -> None:
        assert self.registration is not None
        self.replica.on_leadership(self.registration.leader_changed)
        self.replica.on_applied(self._tell_consul_of_cluster)
        self.registration.start()

    def _tell_consul_of_cluster(self, applied: Applied) -> None:
        """Tell Consul the cluster's id once, as soon as it is known."""
        if self.registration is not None and not self._consul_knows_cluster and self.replica.state.cluster_id:
            self._consul_knows_cluster = True
            self.registration.cluster_formed(self.replica.state.cluster_id)

    async def _adopt_sink(self, name: str | None) -> Adopted:
        """One sink, or all if no name is given."""
        return await self.flushers.adopt(self._command(), name)

    async def _bring_back(self) -> None:
        """Have all documents written again, also those that people deleted."""
        await self._command()(RaiseGeneration("quorate audit --repair"))

    def _command(self) -> Callable[[Command], Awaitable[tuple[Result, int]]]:
        return partial(self.submitter.command, timeout_s=self.config.http.timeout_ms / 1000)


def _code_of(failure: BaseException) -> int:
    if isinstance(failure, Removed):
        return REMOVED
    return HALTED if isinstance(failure, Halted) else FAILED


def _replica_settings(config: Config, credentials: Credentials) -> ReplicaSettings:
    own = {config.node.id: config.raft_address()}  # as this node tells it: raft.advertise outranks raft.peers
    return ReplicaSettings(
        node_id=config.node.id,
        cluster_name=config.node.cluster,
        listen=config.raft.addresses,
        peers={id: str(address) for id, address in {**config.members(), **own}.items()},
        http=config.http.url,
        credentials=credentials,
        bootstrap=config.raft.bootstrap,
        timing=ElectionTiming(config.raft.election_timeout_ms / 1000),
        snapshot_bytes=config.raft.snapshot_bytes,
        dedup_window=config.votes.dedup_window,
    )


def _limits(config: Config) -> Limits:
    descriptors.warn_of_limit(config.http.connections_max)
    connections = descriptors.connections_within(config.http.connections_max)
    handshakes = min(Limits().handshakes, connections // 4)
    if config.http.tls_cert:
        connections -= handshakes  # a handshake has a descriptor, and is no connection yet
    return Limits(
        timeout_s=config.http.timeout_ms / 1000,
        keep_alive_s=config.http.keep_alive_s,
        connections=connections,
        handshakes=handshakes,
        address_percent=config.http.share_percent,
        events=min(config.http.events_max, connections * STREAMS_PERCENT_MAX // 100),
        threads=config.http.threads,
    )
