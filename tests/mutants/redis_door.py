"""The door for Redis clients: which vote it is, and what is told where the outcome is not known."""

from __future__ import annotations

from quorate.resp.running import Runner
from quorate.resp.votes import AddedVote
from tests.mutants.planting import Change, Mutant

MUTANTS = (
    Mutant(
        "redis-retry-counts-again",
        "A Redis client's vote has another id each time that it comes.",
        (Change(AddedVote.begun_hash, "(ID_PREFIX, bulk", "(__import__('os').urandom(8), bulk"),),
    ),
    Mutant(
        "redis-unknown-told-as-refused",
        "A Redis client is told that a vote was refused, where nobody knows whether it was counted.",
        (Change(Runner.not_counted, "isinstance(error, QuorateError) and error.definite", "True"),),
    ),
)
