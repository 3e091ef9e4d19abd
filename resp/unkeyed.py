"""HINCRBY, for those who set `resp.allow_unkeyed`: it counts each time that it comes, and clients may send it again."""

from __future__ import annotations

from quorate.cluster.submit.vote_columns import DecidedColumns, columns_of
from quorate.doors.bounds import check_votes
from quorate.errors import Invalid, OutcomeUnknown, QuorateError
from quorate.resp.door import Door
from quorate.resp.encoding import Raw, Value
from quorate.resp.keys import poll_of, text_of
from quorate.resp.parsing import Command
from quorate.resp.session import Session
from quorate.resp.votes import UNKEYED, as_decided, weight_of
from quorate.security.caller import Caller
from quorate.tracing import REQUEST
from quorate.vote import Outcome, Vote, check_vote

COUNTED = "the vote was counted, and its total did not come"


async def hincrby(session: Session, caller: Caller, command: Command) -> Value:
    """The votes that the option has then."""
    door = session.door
    if not door.allow_unkeyed:
        raise Invalid(UNKEYED)
    vote = check_vote(Vote(text_of(command[2], "option"), None, poll_of(command[1]), weight_of(command[3])))
    if vote.poll is None:
        raise Invalid("HINCRBY needs a poll, whose total it answers: HINCRBY poll:ID OPTION N")
    check_votes(caller, (vote,), command="HINCRBY")
    version, outcomes = await _cast(door, vote, caller.share)
    door.counts.note(outcomes)
    if outcomes[0] != Outcome.APPLIED:
        return Raw(as_decided(version, 0, outcomes[0]))
    try:
        (votes,) = await door.reads.votes_of(vote.poll, [vote.option], level="none", min_version=version)
    except QuorateError:
        votes = None
    if votes is None:  # an error would read as if it was not counted
        raise OutcomeUnknown(COUNTED)
    return votes


async def _cast(door: Door, vote: Vote, share: int) -> DecidedColumns:
    """It has a trace of its own by chance, as votes with an id have together."""
    casting = door.submitter.cast_columns(
        columns_of((vote,), door.submitter.hash_key), timeout_s=door.timeout_s, share=share
    )
    if door.tracer is None or (trace := door.tracer.begin(())) is None:
        return await casting
    error = "CancelledError"
    before = REQUEST.set(trace)
    try:
        decided = await casting
        error = ""
        return decided
    except QuorateError as failed:
        error = failed.kind
        raise
    finally:
        REQUEST.reset(before)
        door.tracer.end_command(trace, "HINCRBY", 1, error)
