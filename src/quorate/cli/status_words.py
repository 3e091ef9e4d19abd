"""What `/status` of a node means, in a few sentences: who leads, who is missing, and whether votes count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quorate.words import count

SILENT = 0.6  # of an election timeout: a leader says something much more often
HEARD_LATELY_MS = 10_000


def status_words(status: Mapping[str, Any]) -> list[str]:
    """Nothing where the node does not say enough: while it starts, or to a caller that may not see it."""
    raft = status.get("raft") or {}
    if not raft.get("members") or "role" not in raft:
        return []
    node = str(status.get("node"))
    return [
        _who_leads(node, raft, status),
        *_missing(node, raft),
        *_own_trouble(node, raft),
        *_sinks(status),
        *_backups(status),
    ]


def _who_leads(node: str, raft: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    voters, reached = _voters(raft), _reached(node, raft)
    needed = len(voters) // 2 + 1
    term, leader = f"term {raft['term']:,}", raft.get("leader")
    if len(reached) < needed:
        return (
            f"{node} reaches {len(reached)} of {count(len(voters), 'voter')}, itself included, and needs {needed}: "
            "it refuses votes (503, surely not counted) until more of them are up and connected."
        )
    if raft["role"] == "leader" and leader == node:
        return (
            f"{node} leads in {term}, and votes count: {len(reached)} of {count(len(voters), 'voter')} are connected."
        )
    if leader is None or leader == node:
        return _election(node, raft, status)
    if raft.get("leader_via"):
        return f"{leader} leads in {term}. {node} does not hear it, and asks it by way of {raft['leader_via']}."
    timeout_ms, heard_ms = raft.get("election_timeout_ms") or 500, raft.get("leader_heard_ms_ago") or 0
    if heard_ms > timeout_ms * SILENT:
        return (
            f"{leader} led in {term}, and was not heard for {heard_ms / 1000:.1f} s. If it stays silent, an election "
            f"follows, within some {2 * timeout_ms / 1000:g} s; votes that come now wait."
        )
    lag = raft.get("lag_entries") or 0
    behind = f"is {count(lag, 'entry')} behind" if lag else "has all that it knows to be committed"
    return f"{leader} leads in {term}, and votes count. {node} follows it and {behind}."


def _election(node: str, raft: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    heard_ms = raft.get("leader_heard_ms_ago")
    silence = "" if heard_ms is None else f" and heard of no leader for {heard_ms / 1000:.1f} s"
    timeout_ms = raft.get("election_timeout_ms") or 500
    wait_ms = status.get("config", {}).get("http", {}).get("timeout_ms")
    wait = f", for {wait_ms / 1000:g} s at most" if wait_ms else ""
    what = "stands for election" if raft["role"] == "candidate" else "knows no leader"
    return (
        f"{node} {what} (term {raft['term']:,}){silence}. With a majority up, an election mostly ends within "
        f"{2 * timeout_ms / 1000:g} s. Votes that come now wait{wait}, and are then refused (503, surely not counted)."
    )


def _voters(raft: Mapping[str, Any]) -> Sequence[str]:
    return [id for id, role in raft["members"].items() if role == "voter"]


def _reached(node: str, raft: Mapping[str, Any]) -> Sequence[str]:
    links = raft.get("links") or {}
    return [id for id in _voters(raft) if id == node or links.get(id, {}).get("open")]


def _missing(node: str, raft: Mapping[str, Any]) -> Iterator[str]:
    links = raft.get("links") or {}
    for id, role in raft["members"].items():
        link = links.get(id, {})
        if id == node or link.get("open"):
            continue
        heard_ms = link.get("heard_ms_ago")
        since = "" if heard_ms is None else f" and was not heard for {_for_people(heard_ms)}"
        refused = link.get("refused")
        why = f": {refused}" if refused and refused != "***" else "; is it up?"
        yield f"{id} ({role}) is not connected{since}{why}"


def _for_people(ms: float) -> str:
    seconds = ms / 1000
    return f"{seconds:.1f} s" if ms < HEARD_LATELY_MS else f"{seconds:,.0f} s"


def _own_trouble(node: str, raft: Mapping[str, Any]) -> Iterator[str]:
    if raft.get("forgotten"):
        yield f"The disk of {node} lacks what it held before: quorate members replace {node}"
    for peer in raft.get("other_histories") or {}:
        yield f"{peer} has committed other entries than {node}: one of them is a copy that went on alone. See doctor"


def _sinks(status: Mapping[str, Any]) -> Iterator[str]:
    """Only the leader writes, so only its words are of now."""
    if status["raft"].get("role") != "leader":
        return
    for name, sink in (status.get("sinks") or {}).items():
        if sink.get("last_error") and not sink.get("caught_up"):
            yield f"The sink {name} is behind, and is tried again: {sink['last_error']}"


def _backups(status: Mapping[str, Any]) -> Iterator[str]:
    """Only the leader takes them."""
    backups = status.get("backups") or {}
    if not backups.get("leads") or not backups.get("last_error"):
        return
    if backups.get("failing_s") is None:
        yield f"The last backup is whole, and old ones stay: {backups['last_error']}"
        return
    age_s = backups.get("last_age_s")
    last = "there is none yet" if age_s is None else f"the last one is {_for_people(age_s * 1000)} old"
    yield (
        f"Backups fail since {_for_people(backups['failing_s'] * 1000)}, and are tried again; {last}: "
        f"{backups['last_error']}"
    )
