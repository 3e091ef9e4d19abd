"""A node's HTTP room over the real state machine, submitter and reads, on a loop in a thread of its own, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import uvloop

from quorate.cluster.read.digests import Digests
from quorate.cluster.read.reads import Reads
from quorate.cluster.submit.submitter import Submitter
from quorate.doors.access import Access
from quorate.doors.events import Events
from quorate.doors.limits import Limits
from quorate.doors.tls_listener import TlsListener
from quorate.history.recorder import History
from quorate.http.api import Api, Check, CheckResult, MemberAddresses, Operator, Settings
from quorate.http.origins import Origins
from quorate.http.server import HttpServer
from quorate.security.tls import LiveTls
from quorate.turns import Turns
from tests.support.local_replica import LocalReplica

T = TypeVar("T")
TIMEOUT_S = 30.0


def hold_little(servers: Sequence[object], size: int) -> None:
    """Of what the connections that these accept have not read, the system holds no more from now on."""
    for server in servers:
        sockets = [server._socket] if isinstance(server, TlsListener) else cast(asyncio.Server, server).sockets
        for listening in sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Node:
    loop: asyncio.AbstractEventLoop
    replica: LocalReplica
    api: Api
    server: HttpServer
    port: int
    checks: dict[str, bool] = field(default_factory=dict)
    trusts: ssl.SSLContext | None = None  # by which it is asked, if it speaks TLS

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT_S)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        async def do() -> T:
            return function(*arguments)

        return self.run(do())

    def limit(self, **limits: float) -> None:
        """From now on, at each of its doors. What a test does before cannot meet them, however slow the machine is."""

        def change() -> None:
            for name, value in limits.items():
                object.__setattr__(self.api.limits, name, value)
            self.server._small_votes.castings._timeout_s = self.api.limits.timeout_s

        self.call(change)

    def connect(self) -> http.client.HTTPConnection:
        if self.trusts is not None:
            return http.client.HTTPSConnection("localhost", self.port, timeout=TIMEOUT_S, context=self.trusts)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)

    def dial(self) -> socket.socket:
        """A bare connection, for what no HTTP library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)

    def hold_little_in_sockets(self) -> None:
        """From now on, what clients leave unread stays in the node: the system would take megabytes of each answer."""
        hold_little(self.server._servers, 64 * 1024)

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request on a connection of its own. A body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, data, dict(headers or {}))
            return answer_of(connection.getresponse())

    def vote(self, **vote: Any) -> Answer:
        return self.ask("POST", "/votes", vote)

    def tally(self, poll: str = "mood") -> dict[str, int]:
        results = self.call(self.replica.state.results, poll)
        assert results is not None
        return results


def answer_of(response: http.client.HTTPResponse) -> Answer:
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


@dataclass
class Given:
    """What a test gives its node. With `form=False` the node has not joined a cluster yet."""

    hot: bool = True
    small: bool = True  # small votes have a door of their own
    limits: Limits = field(default_factory=Limits)
    form: bool = True
    streams: int = 5
    hosts: frozenset[str] = frozenset()  # `http.hosts`
    members: Sequence[MemberAddresses] = (MemberAddresses("n1", "http://127.0.0.1:8001", "127.0.0.1:9001"),)
    tls: Callable[[], LiveTls] | None = None  # called on the node's loop
    trusts: ssl.SSLContext | None = None
    access: Callable[[], Access] = Access  # called on the node's loop
    operator: Operator | None = None
    settings: Settings | None = None
    adopt_sink: Callable[[str | None], Coroutine[Any, Any, Any]] | None = None
    history: Callable[[LocalReplica], History] | None = None  # called on the node's loop
    status: Callable[[], Mapping[str, Any]] | None = None
    version: Callable[[], Mapping[str, Any]] = lambda: {"version": "0.1.0", "node": "n1"}


@contextlib.contextmanager
def running(**given: Any) -> Iterator[Node]:
    """A cluster of one node, which serves on a free port. The arguments are those of `Given`."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        node = asyncio.run_coroutine_threadsafe(_start(Given(**given)), loop).result(TIMEOUT_S)
        try:
            yield node
        finally:
            node.run(node.server.stop(0.2))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(TIMEOUT_S)
        loop.close()


async def _start(given: Given) -> Node:
    replica = LocalReplica(form=given.form)
    turns = Turns()
    reads = Reads(replica, turns=turns, clock=lambda: 0.0)  # no time passes: the age of an answer is always the same
    if given.form:
        await reads.staleness.ask_once()
    checks: dict[str, bool] = {}
    api = Api(
        replica=replica,
        submitter=Submitter(replica, catch_up=reads.catch_up),
        reads=reads,
        digests=Digests(replica),
        events=Events(replica, reads.big, turns, streams_max=given.streams),
        turns=turns,
        members=lambda: given.members,
        nodes=_nodes,
        status=given.status or (lambda: {"node": "n1", "raft": replica.status(), "dedup": {"held": 7}}),
        version=given.version,
        operator=given.operator,
        settings=given.settings,
        history=given.history and given.history(replica),
        access=given.access(),
        origins=Origins(given.hosts, lambda: [member.http for member in given.members]),
        adopt_sink=given.adopt_sink,
        checks=[
            Check("leader", lambda: CheckResult(checks.get("leader", True), "n1", "term 1")),
            Check("sink", lambda: CheckResult(checks.get("sink", True), "sqlite", "last flush 1 s ago"), sync=True),
        ],
        limits=given.limits,
    )
    server = HttpServer(api, hot=given.hot, small=given.small, tls=given.tls and given.tls())
    port = await server.start([("127.0.0.1", 0)])
    return Node(asyncio.get_running_loop(), replica, api, server, port, checks, given.trusts)


async def _nodes() -> list[dict[str, Any]]:
    return [{"id": "n1", "http": "http://127.0.0.1:8001", "raft": "127.0.0.1:9001", "role": "leader"}]


MOOD = {"id": "mood", "title": "How are you?", "options": ["happy", "sad"], "state": "open"}
