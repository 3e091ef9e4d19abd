"""Which lines this node writes to its log: see the level, and change it while the node runs."""

from __future__ import annotations

from typing import Literal

import msgspec

from quorate import logs
from quorate.errors import Invalid
from quorate.http.acts import act
from quorate.http.api import Api
from quorate.http.json_body import reader
from quorate.http.operation import Operation
from quorate.http.reply import Reply, reply
from quorate.http.request import Request


class NewLevel(msgspec.Struct, forbid_unknown_fields=True):
    level: Literal["debug", "info", "warning", "error"]


SHOW = Operation("The least severity that this node writes to its log")
CHANGE = Operation(
    "Change it, for this node, until it starts again",
    body={"application/json": NewLevel},
    words="At the next start the setting `log.level` counts.",
)

_decode = reader(NewLevel)


async def show(api: Api, request: Request) -> Reply:
    """GET /log-level."""
    return reply({"node": api.replica.node_id, "level": logs.level()})


async def change(api: Api, request: Request) -> Reply:
    """PUT /log-level."""
    try:
        wanted = _decode(request.body).level
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f'{error}; send {{"level": "debug"}}, or info, warning or error') from None
    with act(api, request, f"write {wanted} and above to the log"):
        logs.set_level(wanted)
    return await show(api, request)
