"""What `quorate audit` asks of the leader: sinks against tallies, and a version where all nodes meet.

Nodes are compared by GET /digest, which each node answers for itself.
"""

from __future__ import annotations

import msgspec

from quorate.cluster.audit.answers import AuditedPage
from quorate.errors import NotReady
from quorate.http.acts import act
from quorate.http.api import Api, Auditor
from quorate.http.operation import STRING, Operation, flag
from quorate.http.reply import Reply, reply
from quorate.http.request import Request, once, read_query, read_version


class VersionMet(msgspec.Struct, frozen=True):
    version: int


SINKS = Operation(
    "Compare what stands in the sinks with the tallies",
    AuditedPage,
    [
        {"name": "after", "in": "query", "description": "the polls behind this one, by their ids", "schema": STRING},
        {"name": "sink", "in": "query", "description": "this sink only, as mongo", "schema": STRING},
        flag("repair", "write again what differs"),
    ],
    words="The leader answers, for some polls at a time: ask again with `after`, which is `next` of the answer, until "
    "that is null. `differences` of a sink say what the cluster has, and what stands there.",
)
MEET = Operation(
    "See that the state reaches a version soon",
    VersionMet,
    [
        {
            "name": "version",
            "in": "query",
            "required": True,
            "description": "at most 200 ahead",
            "schema": {"type": "integer", "minimum": 0},
        }
    ],
    words="The leader adds entries that change nothing but the version, so that all nodes can be asked for the digest "
    "at one version also where nobody votes.",
)


async def sinks(api: Api, request: Request) -> Reply:
    """POST /audit."""
    parameters = read_query(request.query, frozenset({"after", "sink", "repair"}))
    after = once(parameters, "after", "") or None
    sink = once(parameters, "sink", "") or None
    if "repair" not in parameters:
        return reply(await _auditor(api).page(after, sink=sink))
    with act(api, request, "repair the sinks by an audit"):
        return reply(await _auditor(api).page(after, sink=sink, repair=True))


async def meet(api: Api, request: Request) -> Reply:
    """POST /audit/version."""
    version = read_version(once(read_query(request.query, frozenset({"version"})), "version", ""), "version")
    return reply(VersionMet(await _auditor(api).reach(version)))


def _auditor(api: Api) -> Auditor:
    if api.auditor is None:
        raise NotReady("this node cannot audit its cluster")
    return api.auditor
