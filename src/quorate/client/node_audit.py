"""Whether all nodes have the same state at one version, and the same log: for `quorate audit`.

Nodes go on counting, and keep no earlier state. So all are asked for the digest at a version that is to come, and the
leader is asked to add entries that change nothing until it is reached, where nobody votes. A node that is past it
already is asked again, with a version that is farther away.

Without a leader nothing is to come. Then the states that nodes have now are compared, where they are at one version.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from quorate.client.http import JsonClient
from quorate.errors import Gone, Invalid, NoLeader, QuorateError

WAIT_S = 10  # for a node to reach the version
ASKED_S = 40.0  # for the digest, which takes as long as a snapshot
ROUNDS = 6
AHEAD, AHEAD_MAX = 5, 20_000
REGISTERED_S = 0.3  # until the nodes have taken the question
POLL_S = 0.2

Open = Callable[[Sequence[str], float], JsonClient]  # a client of these nodes, and its time limit


class NodeAudit(msgspec.Struct):
    """What one node said. Without a digest, `why` says why there is none."""

    id: str
    version: int | None = None
    digest: str | None = None
    chain: str | None = None
    log: str | None = None  # the chain value of the log, at the index that all were asked for
    why: str | None = None
    differs: str | None = None  # in words, if it is not as most of them are


class NodesAudited(msgspec.Struct):
    version: int
    index: int | None
    nodes: list[NodeAudit]

    @property
    def differ(self) -> bool:
        return any(each.differs for each in self.nodes)

    @property
    def untold(self) -> bool:
        return any(each.why for each in self.nodes)


@dataclass(frozen=True, slots=True)
class _Members:
    reachable: Mapping[str, str]  # id -> URL
    missing: Sequence[str]
    version: int
    index: int
    leader: str | None
    seen_s: float


def audit_nodes(client: JsonClient, open_client: Open) -> NodesAudited:
    """Raises `QuorateError` if no node tells who the members are."""
    before = _members(client)
    time.sleep(POLL_S)
    members, ahead = _members(client), AHEAD
    rate = (members.version - before.version) / max(0.01, members.seen_s - before.seen_s)
    for _ in range(ROUNDS):
        members = _members(client)
        version = members.version + min(AHEAD_MAX, max(ahead, round(rate)))
        told = _ask_all(client, open_client, members, version)
        ahead *= 4
        if not any(isinstance(each, Gone) for each in told.values()):
            break
    return _audited(open_client, members, told, version, members.index)


def compare_present(client: JsonClient, open_client: Open) -> NodesAudited:
    """The same without a leader. Raises `QuorateError` if no node tells who the members are."""
    members = _members(client)
    with _clients(open_client, members) as clients, ThreadPoolExecutor(len(clients) or 1) as pool:
        told = dict(zip(clients, pool.map(lambda one: _ask(one, {}), clients.values()), strict=True))
    ends = [answer["log"]["index"] for answer in told.values() if not isinstance(answer, QuorateError)]
    audited = _audited(open_client, members, told, members.version, min(ends, default=0))
    at = Counter(node.version for node in audited.nodes)
    for node in audited.nodes:
        if node.version is not None and at[node.version] == 1:
            node.why = f"it is at version {node.version:,}, and no other node that answers is"
    return audited


def _audited(
    open_client: Open, members: _Members, told: Mapping[str, Any], version: int, log_index: int
) -> NodesAudited:
    nodes = [_node(id, told[id]) for id in members.reachable]
    index = _compare_logs(open_client, members, nodes, log_index)
    nodes += [NodeAudit(id, why="it does not answer the other nodes") for id in members.missing]
    nodes.sort(key=lambda each: each.id)
    _judge(nodes)
    return NodesAudited(version, index, nodes)


def _members(client: JsonClient) -> _Members:
    answer = client.members()
    nodes = answer["nodes"]
    up = [each for each in nodes if each["reachable"] and each["http"]]
    return _Members(
        {each["id"]: each["http"] for each in up},
        [each["id"] for each in nodes if each not in up],
        max((each["version"] for each in up), default=0),
        max((each["log_index"] for each in up), default=0),
        answer["leader"],
        time.monotonic(),
    )


def _ask_all(client: JsonClient, open_client: Open, members: _Members, version: int) -> dict[str, Any]:
    """What each node answers, or the error."""
    params = {"version": version, "wait": f"{WAIT_S}s"}
    with _clients(open_client, members) as clients, ThreadPoolExecutor(len(clients) or 1) as pool:
        asked = {id: pool.submit(_ask, each, params) for id, each in clients.items()}
        time.sleep(REGISTERED_S)
        _bring_to(client, open_client, version)
        return {id: each.result() for id, each in asked.items()}


@contextmanager
def _clients(open_client: Open, members: _Members) -> Iterator[dict[str, JsonClient]]:
    """One for each node."""
    with ExitStack() as opened:
        yield {id: opened.enter_context(open_client([url], ASKED_S)) for id, url in members.reachable.items()}


def _ask(client: JsonClient, params: Mapping[str, Any]) -> Any:
    try:
        return client.request("GET", "/digest", params=params).json()
    except QuorateError as error:
        return error


def _bring_to(client: JsonClient, open_client: Open, version: int) -> None:
    """Have the leader reach this version. If it cannot, the nodes say that they did not reach it."""
    end_s = time.monotonic() + WAIT_S / 2
    while time.monotonic() < end_s:
        try:
            with open_client([client.leader()["http"]], WAIT_S / 2) as leader:
                leader.request("POST", "/audit/version", params={"version": version})
            return
        except Invalid:  # it is far away, because the cluster is busy
            time.sleep(POLL_S)
        except NoLeader:
            time.sleep(POLL_S)
        except QuorateError:
            return


def _compare_logs(open_client: Open, members: _Members, nodes: list[NodeAudit], index: int) -> int | None:
    """Ask all for the chain value of the log at one index. None where that can be asked of nobody."""
    params = {"index": index, "wait": "5s"}
    for node in nodes:
        if node.digest is None:
            continue
        with open_client([members.reachable[node.id]], ASKED_S / 4) as one:
            answer = _ask(one, params)
        if not isinstance(answer, QuorateError):  # else it dropped that entry already: the digest has to be enough
            node.log = answer["log"]["chain"]
    return index if any(node.log for node in nodes) else None


def _node(id: str, answer: Any) -> NodeAudit:
    if isinstance(answer, Gone):
        return NodeAudit(id, why=f"it was past the version each of {ROUNDS} times: audit when fewer votes come")
    if isinstance(answer, QuorateError):
        return NodeAudit(id, why=answer.detail or answer.title)
    if answer.get("node") != id:
        return NodeAudit(id, why=f"at its address answers {answer.get('node')}")
    return NodeAudit(id, answer["version"], answer["digest"], answer["chain"])


def _judge(nodes: Sequence[NodeAudit]) -> None:
    """Say of each node that differs from most of those that it can be compared with how it differs."""
    for version in {node.version for node in nodes}:
        at_one = [node for node in nodes if node.version == version]
        _compare(at_one, "chain", "it applied other entries: its history is another one")
        state = "it applied the same entries, and has another state: its snapshot or its memory was altered"
        _compare(at_one, "digest", state)
    _compare(nodes, "log", "its log has other entries")


def _compare(nodes: Sequence[NodeAudit], what: str, words: str) -> None:
    told = [node for node in nodes if getattr(node, what) is not None]
    counts = Counter(getattr(node, what) for node in told).most_common(2)
    if len(counts) < 2:
        return
    most = counts[0][0] if counts[0][1] > counts[1][1] else None
    for node in told:
        if getattr(node, what) != most and node.differs is None:
            node.differs = words if most is not None else f"the nodes do not agree, and no majority does ({what})"
