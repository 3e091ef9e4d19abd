"""The members of the cluster as this node knows them, and how each of them answers now: for GET /nodes and /leader."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from quorate.cluster.raft.messages import Count
from quorate.cluster.raft.replica import RaftReplica
from quorate.config import Config
from quorate.config.address import parse_address
from quorate.errors import NotReady, QuorateError
from quorate.http.api import MemberAddresses
from quorate.resp.door import ClusterNode
from quorate.unreadable import UNREADABLE

PROBE_S = 1.0
RESP_NODES_S = 0.5  # cluster clients may be told what was true so long ago


class Progress(msgspec.Struct):
    """What a node answers to a probe from a peer. The field names are part of the answer of GET /nodes."""

    role: Annotated[str, msgspec.Meta(max_length=16)]
    term: Count
    version: Count
    log_index: Count
    lag: Count
    resp: Annotated[str, msgspec.Meta(max_length=300)] = ""  # host:port; "": it does not serve RESP


_decode = msgspec.json.Decoder(Progress).decode


class ClusterView:
    """Answers the probes of peers, and sends probes to them."""

    def __init__(self, config: Config, replica: RaftReplica) -> None:
        self._config, self._replica = config, replica
        self._resp_nodes: asyncio.Future[Sequence[Mapping[str, Any]]] | None = None
        self._resp_asked_s = 0.0
        replica.serve("probe", self._on_probe)

    def members(self) -> Sequence[MemberAddresses]:
        """The members that the log names; before there are any, the configured ones."""
        http = {**self._replica.http_addresses(), self._config.node.id: self._config.http.url}
        known = {member.id: member.raft for member in self._replica.members()}
        configured = {id: str(address) for id, address in self._config.members().items()}
        return [MemberAddresses(id, http.get(id, ""), raft) for id, raft in (known or configured).items()]

    def urls(self) -> Sequence[str]:
        """Where the members serve HTTP, and this node, also while it is no member yet."""
        return [*(member.http for member in self.members()), self._config.http.url]

    async def nodes(self) -> Sequence[Mapping[str, Any]]:
        """Every member and its answer to a probe. A member that does not answer is shown as unreachable.

        Raises `NotReady` until this node has read its log: before, it knows neither the members nor itself.
        """
        if self._replica.status().role == "starting":
            raise NotReady("this node reads its log; ask again in a moment")
        return await asyncio.gather(*(self._probe(member) for member in self.members()))

    def resp_leader(self) -> str | None:
        """Where the leader serves RESP, as was found out lately; None: that is not known."""
        asked = self._ask_resp_nodes()
        if not asked.done() or asked.cancelled() or asked.exception() is not None:
            return None
        leader = self._replica.leader
        return next(
            (node["resp"] or None for node in asked.result() if node["id"] == leader and node["reachable"]), None
        )

    def _ask_resp_nodes(self) -> asyncio.Future[Sequence[Mapping[str, Any]]]:
        now_s = asyncio.get_running_loop().time()
        if self._resp_nodes is None or now_s - self._resp_asked_s > RESP_NODES_S:
            self._resp_asked_s = now_s
            self._resp_nodes = asyncio.ensure_future(self.nodes())
        return self._resp_nodes

    async def resp_nodes(self) -> Sequence[ClusterNode]:
        """Those that answer and serve RESP, and where: for cluster clients. Whoever asks at once shares the probes."""
        nodes = await asyncio.shield(self._ask_resp_nodes())
        leader = self._replica.leader
        return [
            ClusterNode(node["id"], address.host, address.port, node["id"] == leader)
            for node in nodes
            if node["reachable"] and node["resp"] and (address := parse_address(node["resp"]))
        ]

    async def _probe(self, member: MemberAddresses) -> Mapping[str, Any]:
        level = self._replica.status().feature_levels.get(member.id)  # of its program; None: it is not connected
        known = {"id": member.id, "http": member.http, "raft": member.raft, "feature_level": level}
        try:
            if member.id == self._config.node.id:
                return {**known, "reachable": True, **msgspec.to_builtins(self._progress())}
            async with asyncio.timeout(PROBE_S):
                answer = await self._replica.call(member.id, "probe", b"")
            return {**known, "reachable": True, **msgspec.to_builtins(_decode(answer))}
        except (QuorateError, TimeoutError, *UNREADABLE):
            return {**known, "reachable": False}

    async def _on_probe(self, peer: str, request: bytes) -> bytes:
        return msgspec.json.encode(self._progress())

    def _progress(self) -> Progress:
        raft = self._replica.status()
        return Progress(
            role=raft.role,
            term=raft.term,
            version=self._replica.state.version,
            log_index=raft.last_index,
            lag=raft.last_index - raft.applied_index,
            resp="" if (told := self._config.resp.told) is None else str(told),
        )
