"""One node: the only place that knows all the parts, makes them, starts them in order and stops them in order.

Start: signals, listen, HTTP (readyz says no), replica, flusher, sources, Consul. Stop: leave Consul, stop the sources,
drain HTTP so that clients get the answers they were promised, hand leadership over, stop the flusher and the replica.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from quorate import __version__, logs
from quorate.cluster.admin import Admin
from quorate.cluster.flush.flusher import Adopted, Flusher
from quorate.cluster.fsm import Applied
from quorate.cluster.loop_bridge import Bridge, Deposed
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.environment import ReplicaSettings
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.read.reads import Reads
from quorate.cluster.submit.submitter import Submitter
from quorate.cluster.submit.timed_close import TimedClose
from quorate.config import Config, masked_config, parse_address
from quorate.errors import QuorateError
from quorate.http.api import Api, Check, Limits, Member
from quorate.http.events import Events
from quorate.http.server import HttpServer
from quorate.vote import ENTRY_BYTES_MAX, ID_BYTES_MAX, OPTION_BYTES_MAX, OPTIONS_PER_POLL_MAX, POLLS_MAX, WEIGHT_MAX

if TYPE_CHECKING:
    from quorate.cluster.discovery.formation import Formation
    from quorate.cluster.discovery.peer_search import PeerSearch
    from quorate.cluster.discovery.registration import Registration
    from quorate.ingest.nsq.source import NsqSource
    from quorate.sinks.sink import Sink

PROBE_S = 1.0
BEHIND_MAX = 1_000  # entries committed and not yet applied with which a node still calls itself ready
SWITCH_S = 0.0005  # the disk thread wants the interpreter for microseconds: it need not wait 5 ms for a busy loop

log = logging.getLogger(__name__)


class Node:
    """Made on a running loop. `run` starts it, waits until it is told to stop, and stops it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._stop_asked = asyncio.Event()
        self._failure: BaseException | None = None
        self._consul_knows = False
        self.finding: PeerSearch | None = None
        self._started_s = time.monotonic()
        members = {id: str(address) for id, address in config.members().items()}
        self.directory = DataDirectory.open(config.node.data, node_id=config.node.id, cluster_name=config.node.cluster)
        self.replica = RaftReplica(_replica_settings(config, members), self.directory, on_halt=self._halted)
        self.submitter = Submitter(self.replica, waiting_bytes_max=config.votes.queue_bytes)
        self.reads = Reads(self.replica)
        self.closing = TimedClose(self.replica)
        limits = Limits(
            timeout_s=config.http.timeout_ms / 1000,
            keep_alive_s=config.http.keep_alive_s,
            connections=config.http.connections_max,
            events=config.http.events_max,
            threads=config.http.threads,
        )
        self.api = Api(
            replica=self.replica,
            submitter=self.submitter,
            reads=self.reads,
            events=Events(self.replica, streams_max=limits.events),
            members=self._members,
            nodes=self._nodes,
            status=self.status,
            version=self._version,
            checks=self._checks(),
            limits=limits,
        )
        self.api.operator = Admin(self.replica)
        self.http = HttpServer(self.api)
        self.replica.serve("probe", self._on_probe)
        self.flusher = self._flusher()
        if self.flusher is not None:
            self.api.adopt_sink = partial(self._adopt_sink, self.flusher)
        self.nsq = _nsq_source(config, self.submitter)
        self._bridge = Bridge()
        self.consul = _registration(config, str(config.raft_address()), self._why_not_ready)

    # ---- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """The exit code. Raises `QuorateError` in words if the node cannot start."""
        self._catch_signals()
        try:
            await self._start()
            await self._stop_asked.wait()
        finally:
            await self._stop()
        if self._failure is not None:
            detail = self._failure.detail if isinstance(self._failure, QuorateError) else repr(self._failure)
            log.critical("%s stopped itself: %s", self.config.node.id, detail)
            return 1
        log.info("%s stopped", self.config.node.id)
        return 0

    async def _start(self) -> None:
        config = self.config
        await self.http.start(*parse_address(config.http.listen))
        await self.replica.start()
        self._find_others()
        gc.freeze()  # what was restored stays: no full collection walks it again
        self.closing.start()
        if self.flusher is not None:
            self.flusher.start()
        if self.nsq is not None:
            await self.nsq.start()
        if self.consul is not None:
            self.replica.on_leadership(self.consul.leader_changed)
            self.replica.on_applied(self._tell_consul_once)
            self.consul.start()
        log.info("%s serves %s; its log is in %s", config.node.id, config.http.url, config.node.data)

    async def _stop(self) -> None:
        """Each step is bounded; one that fails is logged and does not keep the others from stopping."""
        if self.finding is not None:
            await self._step(asyncio.to_thread(self.finding.stop))
        if self.consul is not None:
            await self._step(asyncio.to_thread(self.consul.stop))
        if self.nsq is not None:
            await self._step(self.nsq.stop())
        await self._step(self.http.stop(self.config.http.drain_s))
        await self._step(self.replica.transfer_leadership())
        if self.flusher is not None:
            await self._step(self.flusher.stop())
        self.closing.stop()
        self.submitter.stop()
        await self._step(self.replica.stop())
        self.directory.close()

    async def _step(self, step: Awaitable[Any]) -> None:
        try:
            await step
        except Exception:
            log.exception("a part did not stop as it should; going on")

    def _halted(self, error: BaseException) -> None:
        self._failure = error
        self._stop_asked.set()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop_asked.is_set():
            log.warning("second signal (%s): stopping at once", number.name)
            os._exit(1)
        log.info("%s: handing over and stopping; once more stops at once", number.name)
        self._stop_asked.set()

    def _find_others(self) -> None:
        """Without raft.peers: they are whom the log names. If it names nobody yet, those that Consul has."""
        if self.config.raft.peers:
            return
        known = {member.id: member.raft for member in self.replica.members()}
        if known:
            self.replica.set_initial_peers(known, bootstrap=False)
        elif self.config.raft.bootstrap_expect:
            from quorate.cluster.discovery.peer_search import PeerSearch

            post = asyncio.get_running_loop().call_soon_threadsafe
            self.finding = PeerSearch(self.config, post=post, found=self._found_others, failed=self._halted)
            self.finding.start()

    def _found_others(self, formation: Formation) -> None:
        self.replica.set_initial_peers(dict(formation.members), bootstrap=formation.chosen)
        if formation.chosen:
            self.finding = None

    def _flusher(self) -> Flusher | None:
        config = self.config
        sink = _sink(config)
        if sink is None:
            return None
        return Flusher(
            self.replica,
            sink,
            interval_s=config.flush.interval_ms / 1000,
            timeout_s=config.flush.timeout_ms / 1000,
            poll_refresh_s=config.mongo.poll_refresh_s,
        )

    async def _adopt_sink(self, flusher: Flusher) -> Adopted:
        timeout_s = self.config.http.timeout_ms / 1000
        return await flusher.adopt(lambda command: self.submitter.command(command, timeout_s=timeout_s))

    def _tell_consul_once(self, applied: Applied) -> None:
        if self.consul is not None and not self._consul_knows and self.replica.state.cluster_id:
            self._consul_knows = True
            self.consul.cluster_formed(self.replica.state.cluster_id)

    def _why_not_ready(self) -> str | None:
        """For Consul's thread: the loop looks."""
        try:
            return self._bridge.look(self._failing_check)
        except (Deposed, TimeoutError) as error:
            return str(error) or "this node stops"

    def _failing_check(self) -> str | None:
        for check in self.api.checks:
            if not check.sync:
                well, words, more = check.look()
                if not well:
                    return f"{check.name} {words}: {more}"
        return None

    # ---- what others ask --------------------------------------------------------------------------------------------

    def _members(self) -> Sequence[Member]:
        http = {**self.replica.http_addresses(), self.config.node.id: self.config.http.url}
        known = {member.id: member.raft for member in self.replica.members()}
        configured = {id: str(address) for id, address in self.config.members().items()}
        return [Member(id, http.get(id, ""), raft) for id, raft in (known or configured).items()]

    async def _nodes(self) -> Sequence[Mapping[str, Any]]:
        """Every member as it answers now; one that does not answer is shown as unreachable."""
        return await asyncio.gather(*(self._probe(member) for member in self._members()))

    async def _probe(self, member: Member) -> Mapping[str, Any]:
        known = {"id": member.id, "http": member.http, "raft": member.raft}
        try:
            if member.id == self.config.node.id:
                return {**known, "reachable": True, **self._facts()}
            async with asyncio.timeout(PROBE_S):
                answer = await self.replica.call(member.id, "probe", b"")
            return {**known, "reachable": True, **msgspec.json.decode(answer)}
        except (QuorateError, TimeoutError):
            return {**known, "reachable": False}

    async def _on_probe(self, peer: str, request: bytes) -> bytes:
        return msgspec.json.encode(self._facts())

    def _facts(self) -> dict[str, Any]:
        raft = self.replica.status()
        return {
            "role": raft["role"],
            "term": raft.get("term", 0),
            "version": self.replica.state.version,
            "log_index": raft.get("last_index", 0),
            "lag": raft.get("last_index", 0) - raft.get("applied_index", 0),
        }

    def status(self) -> Mapping[str, Any]:
        state = self.replica.state
        return {
            "node": self.config.node.id,
            "version": state.version,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "raft": self.replica.status(),
            "state": {
                "cluster_id": state.cluster_id,
                "generation": state.generation,
                "time_ms": state.time_ms,
                "polls": len(state.polls()),
                "producers": state.producers(),
                "dedup": msgspec.to_builtins(state.dedup()),
            },
            "flush": None if self.flusher is None else self.flusher.status(),
            "sources": {} if self.nsq is None else {"nsq": self.nsq.status()},
            "consul": None if self.consul is None else self.consul.status(),
            "submit": {"waiting_bytes": self.submitter.waiting_bytes},
            "limits": {
                "option_bytes": OPTION_BYTES_MAX,
                "id_bytes": ID_BYTES_MAX,
                "weight": WEIGHT_MAX,
                "options_per_poll": OPTIONS_PER_POLL_MAX,
                "polls": POLLS_MAX,
                "entry_bytes": ENTRY_BYTES_MAX,
                "request_bytes": self.api.limits.body_bytes,
                "votes_per_request": self.api.limits.votes,
            },
            "config": masked_config(self.config),
        }

    def _version(self) -> Mapping[str, Any]:
        return {
            "version": __version__,
            "pysyncobj": importlib.metadata.version("pysyncobj"),
            "python": platform.python_version(),
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "node": self.config.node.id,
        }

    def _checks(self) -> Sequence[Check]:
        return [
            Check("leader", self._look_leader),
            Check("log", self._look_log),
            Check("flush", self._look_flush, sync=True),
        ]

    def _look_flush(self) -> tuple[bool, str, str]:
        if self.flusher is None:
            return True, "no sink", ""
        return *self.flusher.caught_up(), ""

    def _look_leader(self) -> tuple[bool, str, str]:
        leader = self.replica.leader
        if leader == self.config.node.id and not self.replica.is_leader:
            return False, "this node is elected and has yet to apply its log", f"term {self.replica.term}"
        if leader is not None and self.replica.state.cluster_id:
            return True, leader, f"term {self.replica.term}"
        raft = self.replica.status()
        if self.finding is not None and not self.replica.members():
            return False, "not a member of a cluster yet", self.finding.words
        if raft.get("stranger_to"):
            return False, "this node's disk is new to the cluster", f"quorate members replace {self.config.node.id}"
        if raft.get("waiting_for"):
            return False, "waiting to meet " + ", ".join(raft["waiting_for"]), "a cluster is formed once all have met"
        return False, "none known", "a majority of the nodes must be up and connected"

    def _look_log(self) -> tuple[bool, str, str]:
        raft = self.replica.status()
        if raft["role"] in ("starting", "halted"):
            return False, raft["role"], "see the log of this node"
        well = raft["commit_index"] - raft["applied_index"] <= BEHIND_MAX
        return well, f"applied {raft['applied_index']}", f"committed {raft['commit_index']}, last {raft['last_index']}"


def _replica_settings(config: Config, members: Mapping[str, str]) -> ReplicaSettings:
    return ReplicaSettings(
        node_id=config.node.id,
        cluster_name=config.node.cluster,
        listen=parse_address(config.raft.listen),
        peers=members,
        http=config.http.url,
        key=config.raft.key.encode() or None,
        bootstrap=config.raft.bootstrap,
        timing=ElectionTiming(config.raft.election_timeout_ms / 1000),
        snapshot_bytes=config.raft.snapshot_bytes,
        dedup_window=config.votes.dedup_window,
    )


def _sink(config: Config) -> Sink | None:
    """Imported here by need: a node without MongoDB does not load its driver."""
    if config.flush.sink == "sqlite":
        from quorate.sinks.sqlite import SqliteSink

        return SqliteSink(config.flush.path)
    if config.flush.sink == "mongo":
        from quorate.sinks.mongo.sink import MongoSink

        return MongoSink(config.mongo.url, database=config.mongo.database, collection=config.mongo.collection)
    return None


def _nsq_source(config: Config, submitter: Submitter) -> NsqSource | None:
    if not config.nsq.enabled:
        return None
    from quorate.ingest.nsq.source import NsqSource
    from quorate.ingest.nsq.subscription import NsqSettings

    nsq = config.nsq
    settings = NsqSettings(
        lookupd=nsq.lookupd,
        nsqd=nsq.nsqd,
        topic=nsq.topic,
        channel=nsq.channel,
        max_in_flight=nsq.max_in_flight,
        dead_letter=nsq.dead_letter,
        lookupd_poll_s=nsq.lookupd_poll_s,
        auth_secret=nsq.auth_secret,
    )
    return NsqSource(submitter, settings, node_id=config.node.id)


def _registration(config: Config, raft_address: str, health: Callable[[], str | None]) -> Registration | None:
    if not config.consul.address:
        return None
    from quorate.cluster.discovery.registration import Identity, Registration

    identity = Identity(config.node.id, config.node.cluster, config.http.url, raft_address, __version__)
    return Registration(config.consul, identity, health=health)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not on every platform; asyncio's own does the same, slower
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def run(config: Config) -> int:
    """Run a node until it is told to stop; the exit code. Raises `QuorateError` in words if it cannot start."""
    logs.set_up(config.node.id, level=config.log.level, format=config.log.format, file=config.log.file)
    # Generations are rarely worth a walk here: most objects die young or live for ever.
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(SWITCH_S)

    async def main() -> int:
        return await Node(config).run()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())
