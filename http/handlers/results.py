"""The tally of one poll."""

from __future__ import annotations

from quorate.cluster.read.reads import Results
from quorate.http.api import Api
from quorate.http.consistency import CONSISTENCY, PARAMETERS, read_consistency, within
from quorate.http.handlers.named import names_polls
from quorate.http.operation import ID, Operation
from quorate.http.reply import Reply, reply
from quorate.http.request import Request, read_query

RESULTS = Operation("A poll's tally", Results, [ID, *PARAMETERS])


@names_polls
async def results(api: Api, request: Request, poll_id: str) -> Reply:
    """GET /polls/ID/results."""
    parameters = read_query(request.query, CONSISTENCY) if request.query else {}
    consistency = read_consistency(parameters, api.limits.wait_max_s)
    read = api.reads.results(
        poll_id, level=consistency.level, min_version=consistency.min_version, wait_s=consistency.wait_s
    )
    tally = await within(consistency, read)
    return reply(tally, version=tally.version)
