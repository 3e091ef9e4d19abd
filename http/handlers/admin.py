"""What operators do: see and change the members, hand leadership over, take the sinks over."""

from __future__ import annotations

import msgspec

from quorate.errors import Invalid, NotReady
from quorate.http.acts import act, quoted
from quorate.http.api import Api, Operator
from quorate.http.json_body import reader
from quorate.http.operation import STRING, Operation
from quorate.http.redacted import without_raft
from quorate.http.reply import Reply, reply
from quorate.http.request import Request, once, read_query
from quorate.vote import ID_BYTES_MAX, check_text
from quorate.words import ACTIONS, Action


class MemberChange(msgspec.Struct, forbid_unknown_fields=True):
    action: Action
    id: str
    raft: str | None = None
    incarnation: str | None = None


_decode_change = reader(MemberChange)

MEMBERS = Operation("Who belongs to the cluster, as the log has it")
CHANGE_MEMBERS = Operation(
    "Add, remove or replace a member, or update its address",
    body={
        "application/json": {
            "type": "object",
            "required": ["action", "id"],
            "properties": {
                "action": {"enum": list(ACTIONS)},
                "id": {"type": "string"},
                "raft": {"type": "string", "description": "host:port of its links"},
                "incarnation": {"type": "string", "description": "to replace: the disk that is lost, as GET has it"},
            },
        }
    },
    words="One change at a time. An added member is a learner until it has caught up. A member is replaced if a node "
    "with another disk answers. Its address is updated if it answers there itself. Otherwise nothing changes (409).",
)
TRANSFER = Operation("Hand leadership to the most caught-up node")
ADOPT_SINK = Operation(
    "Take the sinks over",
    parameters=[{"name": "sink", "in": "query", "description": "this sink only, as mongo", "schema": STRING}],
    words="Documents of other clusters become this one's, and the leader writes every poll again.",
)


async def members(api: Api, request: Request) -> Reply:
    found = list(await _operator(api).members())
    if not found:
        raise NotReady("this node does not know the members yet: it has just started, or has not joined the cluster")
    return reply({"members": found if api.access.shows_all(request.caller) else without_raft(found)})


async def change_members(api: Api, request: Request) -> Reply:
    change = await api.parse_pool.parse(_read_change, request.body)
    at = f" at {quoted(change.raft)}" if change.raft is not None else ""
    with act(api, request, f"{change.action} the member {quoted(change.id)}{at}"):
        members = await _operator(api).change(change.action, change.id, change.raft, change.incarnation)
    return reply({"members": members})


async def transfer(api: Api, request: Request) -> Reply:
    with act(api, request, "hand leadership over"):
        leader = await _operator(api).transfer()
    return reply({"leader": leader})


async def adopt_sink(api: Api, request: Request) -> Reply:
    name = once(read_query(request.query, frozenset({"sink"})), "sink", "")
    if api.adopt_sink is None:
        raise NotReady("this node writes to no sink (flush.sinks is empty)")
    with act(api, request, f"take over {f'the sink {quoted(name)}' if name else 'all sinks'}"):
        adopted = await api.adopt_sink(name or None)
    return reply(adopted)


def _read_change(body: bytes) -> MemberChange:
    try:
        change = _decode_change(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(
            f"{error}; give action ({', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}), id, and raft, its host:port, to add "
            "or update"
        ) from None
    change.id = check_text(change.id, "id", ID_BYTES_MAX)
    return change


def _operator(api: Api) -> Operator:
    if api.operator is None:
        raise NotReady("this node cannot change its cluster")
    return api.operator
