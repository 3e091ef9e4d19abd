"""A node's HTTP room over the real state machine, submitter and reads, on a loop in a thread of its own, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvloop

from quorate.cluster.read.reads import Reads
from quorate.cluster.submit.submitter import Submitter
from quorate.http.api import Api, Check, Limits, Member
from quorate.http.events import Events
from quorate.http.server import HttpServer
from tests.support.local_replica import LocalReplica

T = TypeVar("T")
TIMEOUT_S = 10.0


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

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT_S)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        async def do() -> T:
            return function(*arguments)

        return self.run(do())

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)

    def dial(self) -> socket.socket:
        """A bare connection, for what no HTTP library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)

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


@contextlib.contextmanager
def running(*, hot: bool = True, limits: Limits | None = None, form: bool = True, streams: int = 5) -> Iterator[Node]:
    """A node of one, serving on a free port. With `form=False` it has not joined a cluster yet."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        node = asyncio.run_coroutine_threadsafe(_start(hot, limits or Limits(), form, streams), loop).result(TIMEOUT_S)
        try:
            yield node
        finally:
            node.run(node.server.stop(0.2))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(TIMEOUT_S)
        loop.close()


async def _start(hot: bool, limits: Limits, form: bool, streams: int) -> Node:
    replica = LocalReplica(form=form)
    checks: dict[str, bool] = {}
    api = Api(
        replica=replica,
        submitter=Submitter(replica),
        reads=Reads(replica),
        events=Events(replica, streams_max=streams),
        members=lambda: [Member("n1", "http://127.0.0.1:8001", "127.0.0.1:9001")],
        nodes=_nodes,
        status=lambda: {"node": "n1", "raft": replica.status(), "dedup": {"held": 7}},
        version=lambda: {"version": "0.1.0", "node": "n1"},
        checks=[
            Check("leader", lambda: (checks.get("leader", True), "n1", "term 1")),
            Check("sink", lambda: (checks.get("sink", True), "sqlite", "last flush 1 s ago"), sync=True),
        ],
        limits=limits,
    )
    server = HttpServer(api, hot=hot)
    port = await server.start("127.0.0.1", 0)
    return Node(asyncio.get_running_loop(), replica, api, server, port, checks)


async def _nodes() -> list[dict[str, Any]]:
    return [{"id": "n1", "http": "http://127.0.0.1:8001", "raft": "127.0.0.1:9001", "role": "leader"}]


MOOD = {"id": "mood", "title": "How are you?", "options": ["happy", "sad"], "state": "open"}
