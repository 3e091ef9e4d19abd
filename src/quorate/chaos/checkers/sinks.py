"""A sink's fence never falls. That its document is the tally at the version which it names, `reads.py` finds.

Two looks of which one ended before the other began are compared. Equal fences are one document, so they have one
version, and under one generation of fences the version never falls either. Where a fault hit the sink itself (it is
among the fault's victims), it may have lost what it had, and the comparison begins anew.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from quorate.chaos.checkers.evidence import Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.loading import SINK

LOOKS = f"""
SELECT node, poll, begun, ended, mark, version, place FROM reading WHERE source = {SINK} AND mark <> ''
ORDER BY node, poll, begun
"""


class FencedLook(NamedTuple):
    sink: str
    poll: str
    begun: float
    ended: float | None
    fence: str
    version: int
    place: int

    @property
    def generation(self) -> str:
        return self.fence.partition(".")[0]


def check_sinks(evidence: Evidence, findings: Findings) -> None:
    for (sink, _), rows in groupby(evidence.select(LOOKS), key=itemgetter(0, 1)):
        hits = sorted(evidence.hit.get(sink, []))
        ended: list[tuple[float, FencedLook]] = []
        newest: FencedLook | None = None
        for row in rows:
            look = FencedLook(*row)
            while ended and ended[0][0] < look.begun:
                before = heapq.heappop(ended)[1]
                newest = before if newest is None or before.fence >= newest.fence else newest
            if newest is not None and bisect_right(hits, newest.begun) != bisect_right(hits, look.ended or look.begun):
                newest = None
            if newest is not None:
                _compare(findings, newest, look)
            if look.ended is not None:
                heapq.heappush(ended, (look.ended, look))


def _compare(findings: Findings, before: FencedLook, after: FencedLook) -> None:
    findings.count("sinks", "fences compared")
    where = f"{after.sink} showed {after.poll}"
    if after.fence < before.fence:
        words = f"{where} under the fence {before.fence}, and later under the lower one {after.fence}"
        findings.violate("sinks", words, [before.place, after.place])
    elif after.version < before.version and after.generation == before.generation:
        words = f"{where} at version {before.version}, and later at {after.version}, under a fence that did not fall"
        findings.violate("sinks", words, [before.place, after.place])
    elif after.fence == before.fence and after.version != before.version:
        words = f"{where} at version {before.version}, and later at {after.version} under the same fence"
        findings.violate("sinks", words, [before.place, after.place])
