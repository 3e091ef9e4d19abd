"""The nodes of the cluster, the leader, and the state of this node."""

from __future__ import annotations

from functools import partial

from quorate.errors import NoLeader
from quorate.http.api import Api
from quorate.http.operation import Operation
from quorate.http.redacted import redacted, without_raft
from quorate.http.reply import Reply, reply
from quorate.http.request import Request
from quorate.http.routing import Rendering

LEADER = Operation("Who leads; 503 when nobody is known to")
NODES = Operation("Every member, asked now")
STATUS = Operation("This node, whole")
VERSION = Operation("What runs here")


async def leader(api: Api, request: Request) -> Reply:
    id = api.replica.leader
    if id is None:
        raise NoLeader("no leader is known: a majority of the nodes must be up and connected")
    member = {member.id: member for member in api.members()}.get(id)
    http, raft = (member.http, member.raft) if member else ("", "")
    found = {"id": id, "http": http, "raft": raft, "term": api.replica.term}
    return reply(found if api.access.shows_all(request.caller) else without_raft([found])[0])


async def nodes(api: Api, request: Request) -> Reply:
    found = await api.nodes()
    if not api.access.shows_all(request.caller):
        found = without_raft(found)
    return reply({"nodes": found, "leader": api.replica.leader, "term": api.replica.term})


async def status(api: Api, request: Request) -> Rendering:
    state = api.replica.state
    found = api.status()
    if not api.access.shows_all(request.caller):
        found = redacted(found)
        if request.caller.token is not None:  # `feed` knows one cluster from another by it
            found.setdefault("state", {})["cluster_id"] = state.cluster_id
    if (token := request.caller.token) is not None:
        ids = state.protected_ids(token.share)
        who = {"token": token.name, "role": token.role, "share": token.share, "protected_ids": ids}
        found = {**found, "caller": who}
    return partial(reply, found, version=state.version)


async def version(api: Api, request: Request) -> Rendering:
    return lambda: reply(api.version())
