"""Whether an entry had a vote for an option or a poll that nobody knows.

People put a poll into their database and publish votes for it at once. Such a vote is then the first that the cluster
hears of the poll, so it makes the leader search its sinks without waiting for the next refresh.
"""

from __future__ import annotations

from collections.abc import Iterable

from quorate.cluster.entry import Result, VotesResult, WholeResult
from quorate.vote import Outcome


def names_unknown(results: Iterable[Iterable[Result]]) -> bool:
    """`results` are those of an entry: one list a batch, one result a command."""
    return any(_names_unknown(result) for batch in results for result in batch)


def _names_unknown(result: Result) -> bool:
    if isinstance(result, VotesResult):
        return _in(result.outcomes) or _in(result.plain)
    return isinstance(result, WholeResult) and _in(result.by_choice)


def _in(outcomes: bytes) -> bool:
    return Outcome.UNKNOWN_OPTION in outcomes or Outcome.UNKNOWN_POLL in outcomes
