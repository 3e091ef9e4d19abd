"""The whole state of this node at one version, as a file. How it is made: `quorate/backup/`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial

from quorate.backup.taking import pieces
from quorate.errors import Invalid, NotReady, Stale
from quorate.http.api import Api
from quorate.http.download import Download, OpenedDownload
from quorate.http.operation import Operation
from quorate.http.request import Request, once, read_query
from quorate.security.caller import Caller
from quorate.turns import ThreadTurns

CATCH_UP_S = 5.0
LEVELS = ("linearizable", "none")
TYPE = b"application/vnd.quorate.backup"

TAKE = Operation(
    "A backup: the whole state at one version, in a file",
    {"type": "string", "format": "binary"},
    [
        {
            "name": "level",
            "in": "query",
            "schema": {"enum": list(LEVELS), "default": "linearizable"},
            "description": "linearizable: all that was acknowledged before is in it. none: what this node has",
        }
    ],
    words="A backup is complete if its last 32 bytes are the blake2b-256 of all before them. It holds the key of the "
    "ids, so keep it as secret as the data folder of a node.",
    media=TYPE.decode(),
)


async def take(api: Api, request: Request) -> Download:
    """GET /backup: of this node's state, whoever leads."""
    level = once(read_query(request.query, frozenset({"level"})), "level", LEVELS[0])
    if level not in LEVELS:
        raise Invalid(f"level is {level[:40]!r}; give linearizable or none")
    return Download(partial(_open, api, request.caller, level))


@contextlib.asynccontextmanager
async def _open(api: Api, caller: Caller, level: str) -> AsyncIterator[OpenedDownload]:
    async with api.places.backups.waiting(caller):
        if level != "none":
            await _catch_up(api)
        if not api.replica.state.cluster_id:
            raise NotReady("this node is no member of a formed cluster yet, so there is nothing to back up")
        image = api.replica.state.freeze()
        name = (b"content-disposition", b'attachment; filename="quorate-%d.backup"' % image.version)
        async with contextlib.aclosing(pieces(image, api.replica.node_id, ThreadTurns())) as made:
            yield OpenedDownload(TYPE, image.version, (name, (b"cache-control", b"no-store")), made)


async def _catch_up(api: Api) -> None:
    try:
        await api.reads.catch_up(CATCH_UP_S)
    except TimeoutError:
        raise Stale(
            "this node did not get in time what the leader has; ask again, or another node. level=none backs up what "
            "this node has"
        ) from None
