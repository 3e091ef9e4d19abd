"""The requests of the client, as values: what is asked, and how its answer is read. No I/O, and no retries.

Each may be sent again unchanged without an effect of its own: votes have ids or a key, and changes name what they want.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from quorate.client.answers import LeaderInfo, NodeInfo, PollHistory, PollInfo, PollResults
from quorate.errors import Invalid, QuorateError
from quorate.unreadable import UNREADABLE
from quorate.vote import Tallied, Vote

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
OF_THE_NODE = ("/leader", "/nodes", "/status", "/version")

encode = msgspec.json.encode


class ClientReply(msgspec.Struct):
    """The answer of a node. `node` and `leader` are node ids from its headers, `version` is that of the state."""

    status: int
    body: bytes
    url: str
    node: str | None = None
    leader: str | None = None
    version: int = 0

    @classmethod
    def of(cls, status: int, body: bytes, url: str, headers: Mapping[str, str]) -> ClientReply:
        version = headers.get("X-Quorate-Version", "")
        known = int(version) if version.isdecimal() and len(version) < 20 else 0
        return cls(status, body, url, headers.get("X-Quorate-Node"), headers.get("X-Quorate-Leader"), known)

    def json(self) -> Any:
        return self.decode(object)

    def decode(self, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(self.body, type=shape)
        except UNREADABLE as error:
            raise QuorateError(f"{self.url} does not answer as a Quorate node does: {error}") from None


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    method: str
    path: str
    read: Callable[[ClientReply], T_co]
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> bool:
        return self.method == "GET"

    @property
    def asks_the_node(self) -> bool:
        """Whether a node answers by itself, so that it need not know a leader."""
        return self.reads and self.path in OF_THE_NODE

    def all_headers(self) -> dict[str, str]:
        return {**({} if self.body is None else {"Content-Type": "application/json"}), **self.headers}

    def given_params(self) -> dict[str, str]:
        """Those that have a value."""
        return {name: str(value) for name, value in self.params.items() if value is not None}


def new_id() -> str:
    return uuid.uuid4().hex


def path_of(kind: str, id: str) -> str:
    return f"/{kind}/{quote(id, safe='')}"


# ---- votes ----------------------------------------------------------------------------------------------------------


class OpenedSession(msgspec.Struct):
    """What the cluster says of a producer session. `sequence` is that of its last batch, 0 before the first."""

    producer: str
    epoch: int
    sequence: int
    owner: str = ""


def vote(vote: Vote) -> Call[Tallied]:
    return Call("POST", "/votes", _tallied, encode(vote))


def votes(body: bytes) -> Call[Tallied]:
    """`body`: an array of votes, each with its id."""
    return Call("POST", "/votes", _tallied, body)


def votes_once(votes: Sequence[Vote], key: str) -> Call[Tallied]:
    return Call("POST", "/votes", _tallied, encode(votes), {"Idempotency-Key": key})


def open_session(name: str, *, new: bool) -> Call[OpenedSession]:
    body = encode({"producer": name} | ({"new": True} if new else {}))
    return Call("POST", "/producers", lambda reply: reply.decode(OpenedSession), body)


def batch_of_session(name: str, epoch: int, sequence: int, votes: Sequence[Vote]) -> Call[Tallied]:
    header = f"{name};epoch={epoch};sequence={sequence}"
    return Call("POST", "/votes", _tallied, encode(votes), {"X-Quorate-Producer": header})


def _tallied(reply: ClientReply) -> Tallied:
    return reply.decode(Tallied)


# ---- polls ----------------------------------------------------------------------------------------------------------


def results(poll: str, level: str, min_version: int) -> Call[PollResults]:
    params = {"level": level, "min_version": min_version or None}
    return Call("GET", f"{path_of('polls', poll)}/results", lambda reply: reply.decode(PollResults), params=params)


def history(poll: str, begin: str | datetime | timedelta, step: str | timedelta | None) -> Call[PollHistory]:
    params = {"from": _time(begin), "step": None if step is None else _time(step)}
    return Call("GET", f"{path_of('polls', poll)}/history", lambda reply: reply.decode(PollHistory), params=params)


def _time(given: str | datetime | timedelta) -> str:
    if isinstance(given, timedelta):
        return f"{round(given.total_seconds())}s"
    if isinstance(given, str):
        return given
    if given.tzinfo is None:
        raise Invalid(f"{given!r} has no zone: give tzinfo=timezone.utc, or another one")
    return given.astimezone(UTC).isoformat().replace("+00:00", "Z")


def create_poll(
    id: str, options: Sequence[str], title: str, state: str, closes_at: datetime | str | None, write_ins: bool
) -> Call[PollInfo]:
    poll = {"id": id, "title": title or id, "options": list(options), "state": state, "write_ins": write_ins}
    if closes_at is not None:
        poll["closes_at"] = closes_at
    return Call("POST", "/polls", _poll, encode(poll))


def edit_poll(
    id: str,
    title: str | UnsetType = UNSET,
    add_options: Sequence[str] | UnsetType = UNSET,
    closes_at: datetime | str | UnsetType | None = UNSET,
) -> Call[PollInfo]:
    change = {"title": title, "add_options": add_options, "closes_at": closes_at}
    given = {name: value for name, value in change.items() if value is not UNSET}
    return Call("PATCH", path_of("polls", id), _poll, encode(given))


def set_poll_state(id: str, state: str) -> Call[None]:
    return Call("POST", f"{path_of('polls', id)}/state", lambda _: None, encode({"state": state}))


def delete_poll(id: str, creation: int) -> Call[bool]:
    return Call("DELETE", path_of("polls", id), lambda _: True, params={"creation": creation})


def poll(id: str, min_version: int) -> Call[PollInfo]:
    return Call("GET", path_of("polls", id), _poll, params={"min_version": min_version or None})


class PollPage(msgspec.Struct):
    polls: list[PollInfo]
    next: str | None = None


def poll_page(state: str | None, cursor: str | None, min_version: int, limit: int | None) -> Call[PollPage]:
    params = {"state": state, "cursor": cursor, "limit": limit, "min_version": min_version or None}
    return Call("GET", "/polls", lambda reply: reply.decode(PollPage), params=params)


def _poll(reply: ClientReply) -> PollInfo:
    return reply.decode(PollInfo)


# ---- the cluster ----------------------------------------------------------------------------------------------------


class _NodesAnswer(msgspec.Struct):
    nodes: list[NodeInfo]


def leader() -> Call[LeaderInfo]:
    return Call("GET", "/leader", lambda reply: reply.decode(LeaderInfo))


def nodes() -> Call[list[NodeInfo]]:
    return Call("GET", "/nodes", lambda reply: reply.decode(_NodesAnswer).nodes)


def status() -> Call[dict[str, Any]]:
    return Call("GET", "/status", lambda reply: reply.decode(dict[str, Any]))
