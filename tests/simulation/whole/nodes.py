"""A cluster of whole nodes: above each replica the flush, timed closing, and the handlers of HTTP.

A request does not pass through HTTP's bytes: it is handed to the route's handler as `http/asgi.py` does it.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from quorate.chaos.workload import exchange
from quorate.chaos.workload.exchange import LostAnswer, NeverSent, NodeAnswer
from quorate.cluster.read.digests import Digests
from quorate.cluster.submit.timed_close import TimedClose
from quorate.doors.access import Access
from quorate.doors.events import Events
from quorate.errors import QuorateError
from quorate.http.api import Api
from quorate.http.origins import Origins
from quorate.http.reply import Reply, problem
from quorate.http.request import Request
from quorate.http.routes import ROUTES
from quorate.http.routing import PLACEHOLDER, Route
from quorate.security.caller import Caller
from quorate.turns import Turns
from tests.simulation.cluster import EPOCH_S, SimCluster, SimNode
from tests.simulation.deaths import as_node
from tests.simulation.whole.flushing import SimFlusher
from tests.simulation.whole.queue import NodesQueue, SimBroker

WAY_S = (0.0002, 0.002)  # of a request, and of an answer
WAYS = [(route, re.compile(PLACEHOLDER.sub("(.+)", route.pattern))) for route in ROUTES]
CALLER = Caller("", "operate")


class Parts:
    """What stands above a replica in its process, for the life of that process."""

    def __init__(self, cluster: WholeCluster, name: str, node: SimNode) -> None:
        replica, reads, submitter = node.replica, node.reads, node.submitter
        assert replica is not None
        assert reads is not None
        assert submitter is not None
        self.timed_close = TimedClose(replica)
        self.reads = reads
        self.flusher = SimFlusher(
            replica, cluster.sink_path, random.Random(f"sink {name} {cluster.loop.time()} {cluster.seed}"), cluster.sink
        )
        turns = Turns()
        self.api = Api(
            replica=replica,
            submitter=submitter,
            reads=reads,
            digests=Digests(replica),
            events=Events(replica, reads.big, turns, streams_max=1),
            turns=turns,
            members=list,
            nodes=_nobody,
            status=lambda: _status(node),
            version=dict,
            access=Access(),
            origins=Origins(frozenset(), list),
        )
        self.serving: dict[asyncio.Task[None], asyncio.Future[NodeAnswer]] = {}
        self.queue = NodesQueue(cluster.broker, name, submitter)
        self.timed_close.start()
        self.reads.staleness.start()
        self.flusher.start()

    def die(self) -> None:
        self.timed_close.stop()
        self.flusher.die()
        self.queue.die()
        for task, answer in self.serving.items():
            task.cancel()
            if not answer.done():
                answer.set_exception(LostAnswer("ConnectionResetError"))
        if self.reads.staleness._asking is not None:
            self.reads.staleness._asking.cancel()


class WholeCluster(SimCluster):
    def __init__(self, seed: int, names: str, folder: Path, **settings: Any) -> None:
        super().__init__(seed, names, **settings)
        self.sink_path = folder / "tallies.sqlite"
        self.parts: dict[str, Parts] = {}
        self.broker = SimBroker(self)
        self._clients = random.Random(f"clients {seed}")

    async def _start(self, name: str) -> None:
        await super()._start(name)
        node = self.nodes[name]
        if node.replica is not None and not node.dying:
            self.parts[name] = Parts(self, name, node)

    def _end(self, node: SimNode) -> None:
        super()._end(node)
        if (parts := self.parts.pop(node.directory.identity.node_id, None)) is not None:
            parts.die()

    async def ask(
        self,
        connection: exchange.KeptConnection,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        *,
        timeout_s: float = exchange.ANSWER_S,
    ) -> NodeAnswer:
        """In place of `KeptConnection.ask`."""
        name = connection.node.id
        await asyncio.sleep(self._clients.uniform(*WAY_S))
        parts = self.parts.get(name)
        if parts is None:
            raise NeverSent("ConnectionRefusedError")
        answer: asyncio.Future[NodeAnswer] = self.loop.create_future()
        with as_node(name):
            task = self.loop.create_task(_serve(parts.api, _request(method, path, body, headers), answer, self.broken))
        parts.serving[task] = answer
        task.add_done_callback(parts.serving.pop)
        self.in_flight[name] += 1
        try:
            async with asyncio.timeout(timeout_s):
                found = await answer
                await asyncio.sleep(self._clients.uniform(*WAY_S))
        except TimeoutError:
            raise LostAnswer("timeout") from None
        finally:
            self.in_flight[name] -= 1
        if self.parts.get(name) is not parts:
            raise LostAnswer("ConnectionResetError")  # it died while the answer was on its way
        return found


def _request(
    method: str, path: str, body: bytes, headers: Sequence[tuple[str, str]]
) -> tuple[Route, tuple[str, ...], Request]:
    bare, _, query = path.partition("?")
    given = dict(headers)
    request = Request(bare, CALLER)
    request.query, request.body, request.content_type = query, body, "application/json"
    request.idempotency_key, request.producer = given.get("Idempotency-Key"), given.get("X-Quorate-Producer")
    for route, pattern in WAYS:
        if route.method == method and (found := pattern.fullmatch(bare)) is not None:
            return route, found.groups(), request
    raise AssertionError(f"nothing is at {method} {path}")


async def _serve(
    api: Api,
    asked: tuple[Route, tuple[str, ...], Request],
    answer: asyncio.Future[NodeAnswer],
    broken: list[str],
) -> None:
    route, arguments, request = asked
    try:
        found = await route.answer(api, request, arguments)
        reply = found() if callable(found) else found
    except QuorateError as error:
        reply = problem(error, request.path)
    except Exception as error:  # a bug: the client of a real node gets 500
        broken.append(f"{request.path}: {error!r}")
        raise
    assert isinstance(reply, Reply)
    if not answer.done():
        answer.set_result(NodeAnswer(reply.status, reply.body, api.replica.node_id, reply.version))


async def _nobody() -> list[dict[str, Any]]:
    return []


def _status(node: SimNode) -> Mapping[str, Any]:
    assert node.replica is not None
    status, state = node.replica.status(), node.replica.state
    return {
        "version": state.version,
        "raft": {"role": status.role, "term": status.term, "last_index": status.last_index, "voter": status.voter},
        "state": {"dedup": {"held": state.dedup().held}},
    }


@contextmanager
def virtual_clocks(cluster: WholeCluster) -> Iterator[None]:
    """Whatever reads a clock of the process gets the loop's time, and clients ask these nodes."""
    loop = cluster.loop

    async def ask(connection: exchange.KeptConnection, *given: Any, **named: Any) -> NodeAnswer:
        return await cluster.ask(connection, *given, **named)

    with (
        patch("time.monotonic", loop.time),
        patch("time.time", lambda: EPOCH_S + loop.time()),
        patch.object(exchange.KeptConnection, "ask", ask),
    ):
        yield
