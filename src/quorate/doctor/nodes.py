"""What the nodes of a cluster say of themselves and of each other, and what is wrong with it.

Each node is asked on its own, also those that only others name. What a node does not tell to the caller's token is
passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from quorate.doctor.finding import Finding
from quorate.unreadable import UNREADABLE
from quorate.web.fetch import FetchFailed
from quorate.words import count

CLOCK_OFFSET_MS, LAG_ENTRIES = 500, 10_000
CHANGES_LEAST, CHANGES_A_MINUTE = 3, 1.0  # of the leader
PHASES = {  # of a sink: what to do about it
    "retrying": "see whether the database runs, and is reached from the leader",
    "foreign": "give the cluster a sink of its own, or have it take this one over: quorate sink adopt",
    "outranked": "see who else writes there; quorate sink adopt takes it over",
}

NODES_MAX = 100

Said = Mapping[str, Any]
Fetch = Callable[[str], bytes]  # raises `FetchFailed`


def _said(about: Said, name: str) -> Said:
    """What is said under a name; nothing, if that is hidden from the caller, or unknown to that version."""
    said = about.get(name)
    return said if isinstance(said, Mapping) else {}


def _number(about: Said, name: str) -> float:
    number = about.get(name)
    return number if isinstance(number, (int, float)) else 0


class _Nodes(msgspec.Struct):
    nodes: list[dict[str, Any]]


@dataclass(slots=True)
class NodeAnswers:
    """What one node said. `failed` says why it said nothing."""

    url: str
    status: Said = field(default_factory=dict)
    nodes: Sequence[Said] = ()
    ready: str = ""
    metrics: str = ""
    failed: str = ""

    @property
    def name(self) -> str:
        return str(self.status.get("node", self.url))

    @property
    def raft(self) -> Said:
        return _said(self.status, "raft")


def ask_all(urls: Sequence[str], fetch: Fetch) -> list[NodeAnswers]:
    """Ask these nodes, and then those that they name."""
    asked: dict[str, NodeAnswers] = {}
    waiting = list(urls)
    while waiting and len(asked) < NODES_MAX:
        url = waiting.pop(0).rstrip("/")
        if url and url not in asked:
            asked[url] = answers = _ask(url, fetch)
            waiting += [str(node.get("http") or "") for node in answers.nodes]
    return list(asked.values())


def _ask(url: str, fetch: Fetch) -> NodeAnswers:
    answers = NodeAnswers(url)
    try:
        answers.status = msgspec.json.decode(fetch(f"{url}/status"), type=dict[str, Any])
        answers.nodes = msgspec.json.decode(fetch(f"{url}/nodes"), type=_Nodes).nodes
        answers.ready = _ready(url, fetch)
        answers.metrics = fetch(f"{url}/metrics").decode()
    except (FetchFailed, *UNREADABLE) as error:
        answers.failed = str(error)
    return answers


def _ready(url: str, fetch: Fetch) -> str:
    """A node that is not ready answers 503, and says why."""
    try:
        return fetch(f"{url}/readyz?verbose&sync").decode()
    except FetchFailed as error:
        if error.status != 503:
            raise
        return error.body.decode()


def look_at_nodes(all_answers: Sequence[NodeAnswers]) -> Iterator[Finding]:
    answers = [each for each in all_answers if each.raft]
    for each in all_answers:
        if not each.raft and not each.failed:
            yield Finding(each.url, "bad", "answers, but not like a node", "see whether this is a node's HTTP address")
        elif not each.raft:
            todo = "start it, or see why it cannot be reached from here (address, firewall, token, certificate)"
            yield Finding(each.url, "bad", f"does not answer: {each.failed}", todo)
    if not answers:
        return
    yield _leader(answers)
    yield _same_cluster(answers)
    yield _versions(answers)
    for each in answers:
        yield from _node(each)


def _leader(answers: Sequence[NodeAnswers]) -> Finding:
    leaders = {str(each.raft["leader"]) for each in answers if each.raft.get("leader")}
    terms = {each.raft.get("term") for each in answers}
    if not leaders:
        todo = "a majority of the members must be up and connected; /readyz?verbose of each says whom it hears"
        return Finding("leader", "bad", "no node knows one: no vote can be counted", todo)
    if len(leaders) > 1 or len(terms) > 1:
        return Finding(
            "leader", "warning", f"nodes name {', '.join(sorted(leaders))}: it changes just now", "ask again"
        )
    return Finding("leader", "good", f"{leaders.pop()} in term {terms.pop()}")


def _same_cluster(answers: Sequence[NodeAnswers]) -> Finding:
    ids = {str(_said(each.status, "state").get("cluster_id")) for each in answers}
    if len(ids) > 1:
        todo = "ask nodes of one cluster; a node that belongs to another one has the wrong data folder or peers"
        return Finding("cluster", "bad", "the nodes belong to several clusters", todo)
    return Finding("cluster", "good", f"one, of {count(len(answers), 'node')} that answered")


def _versions(answers: Sequence[NodeAnswers]) -> Finding:
    told_levels = (_said(each.raft, "feature_levels").items() for each in answers)
    levels = {id: level for told in told_levels for id, level in told if isinstance(level, int)}
    if len(set(levels.values())) > 1:
        told = ", ".join(f"{id}: {level}" for id, level in sorted(levels.items()))
        return Finding(
            "versions", "warning", f"feature levels differ ({told})", "finish the upgrade: docs/upgrading.md"
        )
    return Finding("versions", "good", "all nodes have one feature level")


def _node(each: NodeAnswers) -> Iterator[Finding]:
    failing = [line[4:] for line in each.ready.splitlines() if line.startswith("[-] ")]
    for line in failing:
        yield Finding(each.name, "bad", line, f"its log and {each.url}/status say more")
    yield from _links(each)
    yield from _sinks(each)
    if (lag := _number(each.raft, "lag_entries")) > LAG_ENTRIES:
        yield Finding(each.name, "warning", f"lags {count(int(lag), 'entry')} behind", "see its disk and its links")
    changes, minutes = _number(each.raft, "leader_changes"), _number(each.status, "uptime_s") / 60
    if changes > CHANGES_LEAST and changes / max(minutes, 1) > CHANGES_A_MINUTE:
        words = f"has seen the leader change {count(int(changes), 'time')} in {minutes:.0f} min"
        yield Finding(each.name, "warning", words, "see the disks' sync times and the links between the nodes")
    if not failing:
        yield Finding(each.name, "good", f"{each.raft.get('role')}, ready")


def _links(each: NodeAnswers) -> Iterator[Finding]:
    for peer in _said(each.raft, "links"):
        link = _said(_said(each.raft, "links"), peer)
        if link.get("open") is False:
            todo = f"see whether {peer} runs, and whether {link.get('address')} is reached from {each.name}"
            yield Finding(each.name, "bad", f"is not connected to {peer} {link.get('refused') or ''}".rstrip(), todo)
    for peer in _said(each.raft, "clock_offsets_ms"):
        offset_ms = _number(_said(each.raft, "clock_offsets_ms"), peer)
        if abs(offset_ms) > CLOCK_OFFSET_MS:
            words = f"the clock of {peer} is {abs(offset_ms):,.0f} ms {'ahead' if offset_ms > 0 else 'behind'}"
            yield Finding(each.name, "warning", words, "synchronise the clocks (chrony, ntpd): polls close by them")


def _sinks(each: NodeAnswers) -> Iterator[Finding]:
    for name in _said(each.status, "sinks"):
        sink = _said(_said(each.status, "sinks"), name)
        phase = sink.get("phase")
        if phase in PHASES:
            yield Finding(each.name, "bad", f"the sink {name} is {phase}: {sink.get('last_error')}", PHASES[phase])
