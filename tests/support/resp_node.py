"""A node with both of its doors, HTTP and RESP, over the real state machine, submitter and reads, for tests."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.resp.connection import RespConnection
from quorate.resp.door import ClusterNode, Door
from quorate.resp.server import RespServer
from tests.support import http_node
from tests.support.http_node import MOOD, Node, hold_little
from tests.support.resp_client import Client


@dataclass
class RespNode:
    """`http` is the same node by its other door."""

    http: Node
    door: Door
    server: RespServer
    port: int
    trusts: ssl.SSLContext | None

    def connect(self) -> Client:
        return Client(self.port, self.trusts)

    def connect_lazy(self) -> Client:
        """What this client leaves unread stays in the node: the systems would take megabytes of it."""
        hold_little(self.server._servers, 16 * 1024)
        return Client(self.port, self.trusts, holds_bytes=16 * 1024)

    def create(self, poll: str = "mood", options: Sequence[str] = ("happy", "sad"), **more: Any) -> None:
        answer = self.http.ask("POST", "/polls", {**MOOD, "id": poll, "options": list(options), **more})
        assert answer.status in (200, 201), answer.body

    def give_up_after(self, timeout_s: float) -> None:
        """Votes that get no outcome, from now on."""
        self.http.call(setattr, self.door.castings, "_timeout_s", timeout_s)

    def tally(self, poll: str = "mood") -> dict[str, int]:
        return self.http.tally(poll)

    def turns_of_writes(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """From now on: the number of the loop's turn for each long thing that a client is sent.

        The end of one turn, and what comes before `turn` in the next, have one number.
        """
        turns, written = [0], list[int]()

        def turn() -> None:
            turns[0] += 1
            self.http.loop.call_soon(turn)

        def take(size: int, now_s: float) -> bool:
            written.append(turns[0])
            return True

        monkeypatch.setattr(self.door.unsent, "take", take)
        self.http.call(turn)
        return written

    def connections(self) -> list[RespConnection]:
        return self.http.call(lambda: [*self.server._connections])


async def _alone() -> Sequence[ClusterNode]:
    return [ClusterNode("n1", "127.0.0.1", 6379, leads=True)]


@contextlib.contextmanager
def running(
    *,
    timeout_s: float = 30.0,
    allow_unkeyed: bool = False,
    nodes: Callable[[], Awaitable[Sequence[ClusterNode]]] = _alone,
    leader_address: str | None = None,
    voters: int = 1,
    **given: Any,
) -> Iterator[RespNode]:
    """A cluster of one node. What is not named here is given to `http_node.running`."""
    with http_node.running(**given) as node:

        async def start() -> tuple[Door, RespServer, int]:
            node.replica.state.raise_level(entry.encode_raise(1))  # of the creations of polls: SCAN goes by them
            door = Door(
                node_id="n1",
                version="0.1.0",
                replica=node.replica,
                submitter=node.api.submitter,
                reads=node.api.reads,
                read_places=node.api.places,
                access=node.api.access,
                events=node.api.events,
                turns=node.api.turns,
                limits=node.api.limits,
                places=node.server.places,
                unsent=node.server.unsent,
                waiting=node.server.waiting,
                nodes=nodes,
                leader_address=lambda: leader_address,
                voters=lambda: voters,
                timeout_s=timeout_s,
                allow_unkeyed=allow_unkeyed,
            )
            server = RespServer(door, tls=given["tls"]() if "tls" in given else None)
            return door, server, await server.start([("127.0.0.1", 0)])

        door, server, port = node.run(start())
        try:
            yield RespNode(node, door, server, port, given.get("trusts"))
        finally:
            node.run(server.stop(0.2))
