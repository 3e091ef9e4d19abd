"""What a request is in the log, and what its sender is told."""

from __future__ import annotations

from quorate.chaos.history import Cast, SentVote
from quorate.cluster import entry
from quorate.cluster.entry import Choice, Command, VotesResult
from quorate.vote import Outcome

KEY = bytes(16)


def _choice(vote: SentVote) -> Choice:
    return Choice(vote.option, vote.poll, vote.weight, entry.fingerprint_of(vote.option, vote.poll, vote.weight))


def command_of(operation: Cast) -> Command:
    choices = [_choice(vote) for vote in operation.votes]
    if operation.way == "ids" and operation.votes[0].id is None:
        return entry.CastVotes(choices, plain=[(i, 1) for i in range(len(choices))])
    if operation.way == "ids":
        ids = b"".join(entry.hash_id(vote.id or "", KEY) for vote in operation.votes)
        picks = b"".join(i.to_bytes(4, "little") for i in range(len(choices)))
        return entry.CastVotes(choices, ids, picks)
    sums = [(i, 1) for i in range(len(choices))]
    fingerprint = entry.fingerprint_of_body([(choice, 1) for choice in choices])
    if operation.way == "key":
        return entry.CastOnce(entry.hash_id(operation.request, KEY), fingerprint, choices, sums)
    return entry.CastSession(operation.producer, operation.epoch, operation.sequence, fingerprint, choices, sums)


def tell_of_votes(operation: Cast, result: VotesResult) -> None:
    """Redis' protocol has one reply for what counts now and what did before, and errors without a version."""
    codes = list(result.outcomes or result.plain)
    operation.applied, operation.duplicates = codes.count(0), codes.count(1)
    operation.rejected = [(i, Outcome(code).reason) for i, code in enumerate(codes) if code > 1]
    if operation.door == "resp":
        operation.counted, operation.applied, operation.duplicates = operation.applied + operation.duplicates, 0, 0
        operation.version = operation.version if operation.counted else None
