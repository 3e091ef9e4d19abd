"""Equal versions have equal digests and chains on all nodes. A poll has one state at a version, too.

That results are equal at equal versions is found in `reads.py`.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from quorate.chaos.checkers.evidence import Evidence
from quorate.chaos.checkers.findings import Findings

DIGESTS = "SELECT version, place, node, digest, chain FROM digest ORDER BY version, place"


STATES = """
SELECT poll, version, min(place), max(place) FROM (
    SELECT poll, version, state, min(place) AS place FROM reading WHERE state <> '' GROUP BY poll, version, state
) GROUP BY poll, version HAVING count(*) > 1
"""


def check_agreement(evidence: Evidence, findings: Findings) -> None:
    for poll, version, first, second in evidence.select(STATES):
        words = f"two reads of {poll} at version {version} show different states of the poll"
        findings.violate("agreement", words, [first, second])
    for version, rows in groupby(evidence.select(DIGESTS), key=itemgetter(0)):
        (_, first, first_node, digest, chain), *others = rows
        findings.count("agreement", "digests", 1 + len(others))
        for _, place, node, other_digest, other_chain in others:
            findings.count("agreement", "digests compared")
            differing = [
                word for word, same in (("digest", digest == other_digest), ("chain", chain == other_chain)) if not same
            ]
            if differing:
                words = f"at version {version} the {' and the '.join(differing)} of {first_node} and {node} differ"
                findings.violate("agreement", words, [first, place])
