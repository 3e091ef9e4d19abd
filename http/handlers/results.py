"""The tally of one poll."""

from __future__ import annotations

from functools import partial

import msgspec

from quorate.cluster.read import chunks
from quorate.cluster.read.reads import Results
from quorate.cluster.read.shared_results import AS_JSON, SharedResults
from quorate.http.api import Api
from quorate.http.consistency import CONSISTENCY, PARAMETERS, read_consistency, within
from quorate.http.handlers.named import names_polls
from quorate.http.operation import ID, Operation
from quorate.http.reply import JSON, Reply, encode
from quorate.http.request import Request, read_query
from quorate.http.routing import InTurn

RESULTS = Operation("A poll's tally", Results, [ID, *PARAMETERS])


@names_polls
async def results(api: Api, request: Request, poll_id: str) -> Reply | InTurn:
    """GET /polls/ID/results."""
    parameters = read_query(request.query, CONSISTENCY) if request.query else {}
    consistency = read_consistency(parameters, api.limits.wait_max_s)
    read = api.reads.results(
        poll_id, level=consistency.level, min_version=consistency.min_version, wait_s=consistency.wait_s
    )
    tally = await within(api, request.caller, consistency, read)
    results = await SharedResults.of(tally.results).form(AS_JSON, api.turns)
    make = partial(_reply, tally, results)
    return InTurn(make) if len(tally.results) > chunks.OPTIONS_A_CHUNK else make()


def _reply(tally: Results, results: bytes) -> Reply:
    """As `reply`, with the JSON of the results that all readers of this tally share."""
    before, after = encode(msgspec.structs.replace(tally, results={})).split(b'"results":{}', 1)
    return Reply(200, b"".join((before, b'"results":', results, after, b"\n")), JSON, tally.version)
