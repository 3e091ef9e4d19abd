"""What a caller may do within a route: the polls of its token, the weight of its votes, the producers that are its own.

`access.py` has compared the caller's role with the route's before. Here is what depends on what a request says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from quorate.cluster.fsm import StateMachine
from quorate.cluster.state.sessions import OWNED_MAX
from quorate.cluster.state.tally import LISTINGS_MAX
from quorate.errors import Forbidden, QuorateError, TooLarge, Unauthorized
from quorate.security.caller import Caller
from quorate.security.roles import Role
from quorate.vote import ID_BYTES_MAX

LISTED_MAX = LISTINGS_MAX // 4  # by the polls of one token that is bound to some
WEIGHTS: Role = "manage"  # the role that votes of a weight above 1 need
NO_OWNER: Role = "manage"  # the role that a caller without a token needs to open a producer, which belongs to nobody
OF_OTHERS: Role = "operate"  # the role that a caller without a token needs for a token's producer
OWNED = "/"  # no name of a token has it, so `ann/p` can only be the producer p of ann


class Weighed(Protocol):
    """A vote, or a choice."""

    @property
    def poll(self) -> str | None: ...

    @property
    def weight(self) -> int: ...


def check_poll(caller: Caller, poll_id: str) -> None:
    """Raises `Forbidden` if the caller's token is bound to other polls, whether or not there is such a poll."""
    if not caller.may_see(poll_id):
        raise Forbidden(f"the token {caller.name} is bound to other polls than {poll_id[:100]!r}", poll=poll_id)


def shown_polls(caller: Caller, named: Sequence[str]) -> Sequence[str]:
    """The polls of an event stream: those that are named, or those that the token is bound to; none means all."""
    for poll_id in named:
        check_poll(caller, poll_id)
    return named or sorted(caller.polls or ())


def check_votes(
    caller: Caller, votes: Iterable[Weighed], places: Sequence[int] | None = None, *, command: str = ""
) -> None:
    """Raises if one of the votes is not for this caller: then none of the request is counted.

    Votes for a bound token must name their poll: one that names none counts in every open poll with its option.
    `places` are the indexes of the votes in the request, if others of it could not be read. `command`: the name of the
    command that is one vote, which is refused alone.
    """
    if caller.token is None and caller.role == "operate":  # the usual case, told first: votes must not wait for it
        return
    if caller.polls is None and caller.may(WEIGHTS):
        return
    for index, vote in enumerate(votes):
        place = index if places is None else places[index]
        subject, end = (
            (f"this {command}", "it was not counted") if command else (f"vote {place}", "nothing was counted")
        )
        if caller.polls is not None and vote.poll not in caller.polls:
            named = "names no poll" if vote.poll is None else f"is for the poll {vote.poll[:100]!r}"
            words = f"{subject} {named}, and the token {caller.name} is bound to others; {end}"
            raise Forbidden(words, index=place)
        if vote.weight > 1 and not caller.may(WEIGHTS):
            words = f"{subject} has the weight {vote.weight}, which needs the role {WEIGHTS}; {end}"
            raise _refused(caller, WEIGHTS, words)


def own_name(caller: Caller, producer: str) -> str:
    """The name under which the cluster keeps this producer of this caller.

    The producers of a token belong to its name: they are kept as `ann/p`, so no other token can continue them, or fence
    them off by opening them. Callers without a token have the names as they are.
    """
    if caller.token is not None:
        name = f"{caller.name}{OWNED}{producer}"
        if len(name.encode()) > ID_BYTES_MAX:
            room = ID_BYTES_MAX - len(caller.name) - 1
            raise TooLarge(f"producer is over {room} bytes, which is what the token's name leaves of {ID_BYTES_MAX}")
        return name
    needed = OF_OTHERS if OWNED in producer else NO_OWNER
    if not caller.may(needed):
        raise _refused(caller, needed, "producers belong to a token; send one")
    return producer


def check_options(caller: Caller, poll_id: str, options: Iterable[str], state: StateMachine) -> None:
    """Raises `TooLarge` if the polls of a bound token would list too many options: all polls share one limit."""
    if caller.polls is None:
        return
    polls = [poll for poll in map(state.poll, caller.polls) if poll is not None]
    known = next((poll.options for poll in polls if poll.id == poll_id), ())
    new = len({*options}.difference(known))
    if new and sum(len(poll.options) for poll in polls) + new > LISTED_MAX:
        words = f"the polls of the token {caller.name} would list over {LISTED_MAX:,} options"
        raise TooLarge(words, limit=LISTED_MAX)


def check_producers(caller: Caller, name: str, state: StateMachine) -> None:
    """Raises `TooLarge` if this would be one producer too many of the caller's token: all tokens share one limit."""
    if caller.token is None or caller.may(OF_OTHERS) or name in state.producers:
        return
    if state.producers.owned_by(caller.name) >= OWNED_MAX:
        words = f"the token {caller.name} has {OWNED_MAX:,} producers already; `quorate producers forget` some"
        raise TooLarge(words, limit=OWNED_MAX)


def _refused(caller: Caller, needed: Role, detail: str) -> QuorateError:
    if caller.token is None:
        return Unauthorized(detail, needed=needed, token="missing")
    return Forbidden(detail, role=caller.role, needed=needed)
