"""`/status` of a node on one screen: its members, and a few words for each of its parts, most important first.

What a node does not say, or does not say to this caller, is left out. All there is: `quorate status --all`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quorate.words import count

HEADINGS = ("MEMBER", "ROLE", "LINK", "HEARD", "ADDRESS")
MIB = 1024 * 1024
UNITS_MS = (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000))


def member_rows(status: Mapping[str, Any]) -> list[list[str]]:
    """For each member: its role, and the link that this node has with it."""
    raft = status.get("raft") or {}
    members, links = raft.get("members") or {}, raft.get("links") or {}
    return [_member(str(status.get("node")), raft, id, role, links.get(id) or {}) for id, role in members.items()]


def _member(node: str, raft: Mapping[str, Any], id: str, role: str, link: Mapping[str, Any]) -> list[str]:
    role = f"{role}, leader" if id == raft.get("leader") else role
    if id == node:
        return [id, role, "this node", "-", "-"]
    heard = link.get("heard_ms_ago")
    since = "-" if heard is None else f"{_time(heard)} ago"
    return [id, role, "open" if link.get("open") else "down", since, link.get("address") or "-"]


def summary(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A name and a few words for each part."""
    raft, state = status.get("raft") or {}, status.get("state") or {}
    yield "node", ", ".join(_node(status))
    if "last_index" in raft:
        yield "log", ", ".join(_log(raft))
    if "leader_changes" in raft:
        yield "elections", _elections(raft)
    if "polls" in state:
        yield "state", ", ".join(_state(status, state))
    for name, sink in (status.get("sinks") or {}).items():
        yield f"sink {name}", ", ".join(_sink(sink, leads=raft.get("role") == "leader"))
    for name, source in (status.get("sources") or {}).items():
        yield f"source {name}", _source(source)
    if backups := status.get("backups"):
        yield "backups", ", ".join(_backups(backups))
    if auth := status.get("auth"):
        yield "tokens", ", ".join(_auth(auth))
    for name in ("tls", "link_tls", "history"):
        if problem := (status.get(name) or {}).get("problem"):
            yield name, str(problem)


def _node(status: Mapping[str, Any]) -> Iterator[str]:
    yield str(status.get("node"))
    if "uptime_s" in status:
        yield f"up for {_time(status['uptime_s'] * 1000)}"
    for what, at in (status.get("listening") or {}).items():
        if at:
            yield f"{what} at {' and '.join(map(str, at))}"


def _log(raft: Mapping[str, Any]) -> Iterator[str]:
    last, applied = raft["last_index"], raft.get("applied_index", raft["last_index"])
    yield f"{count(last, 'entry')}" + ("" if applied == last else f" ({last - applied:,} not applied yet)")
    yield f"{raft.get('log_bytes', 0) / MIB:,.1f} MiB on disk"
    snapshot = raft.get("snapshot_index")
    yield f"a snapshot up to entry {snapshot:,}" if snapshot else "no snapshot yet"


def _elections(raft: Mapping[str, Any]) -> str:
    without = _time((raft.get("leaderless_s") or 0) * 1000)
    return f"{count(raft['leader_changes'], 'change')} of the leader seen, and {without} without one, since the start"


def _state(status: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[str]:
    yield f"version {status.get('version', 0):,}"
    yield f"{count(state['polls'], 'poll')} with {count(state.get('options', 0), 'option')}"
    if dedup := state.get("dedup"):
        yield f"{count(dedup.get('held', 0), 'id')} remembered (at least the newest {dedup.get('size', 0):,})"
    if state.get("producers"):
        yield count(state["producers"], "producer session")


def _sink(sink: Mapping[str, Any], *, leads: bool) -> Iterator[str]:
    if not leads:
        yield "written by the leader"
        return
    behind = sink.get("pending_polls") or 0
    if sink.get("caught_up"):
        yield "has all"
    else:
        yield f"behind by {count(behind, 'poll')} ({count(sink.get('lag_versions') or 0, 'version')})"
    if sink.get("last_success_age_s") is not None:
        yield f"last written or compared {_time(sink['last_success_age_s'] * 1000)} ago"
    if sink.get("last_error") and not sink.get("caught_up"):
        yield f"error: {sink['last_error']}"


def _source(source: Mapping[str, Any]) -> str:
    told = {name: value for name, value in source.items() if isinstance(value, (int, str)) and value not in ("", 0)}
    return ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in told.items()) or "nothing came yet"


def _number(value: Any) -> str:
    return f"{value:,}" if type(value) is int else str(value)


def _backups(backups: Mapping[str, Any]) -> Iterator[str]:
    if not backups.get("leads"):
        yield "taken by the leader"
        return
    age_s, next_s = backups.get("last_age_s"), backups.get("next_in_s")
    yield "none yet" if age_s is None else f"the last is {_time(age_s * 1000)} old"
    if next_s is not None:
        yield f"the next is due in {_time(next_s * 1000)}"


def _auth(auth: Mapping[str, Any]) -> Iterator[str]:
    yield count(auth.get("tokens") or 0, "token")
    role = auth.get("anonymous")
    yield f"callers without one may {role}" if role else "callers without one may nothing"
    if auth.get("problem"):
        yield str(auth["problem"])


def _time(ms: float) -> str:
    for unit, size_ms in UNITS_MS:
        if ms >= 2 * size_ms:
            return f"{ms / size_ms:.1f} {unit}"
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"
