"""From votes to the log: each request joins a batch, and is answered with what became of it.

`batch.py` puts requests into one encoded batch and reads each one's answer from its results, `batch_queue.py` decides
when a batch leaves, and `leader_call.py` brings it to the leader.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from operator import attrgetter

from quorate.cluster import entry
from quorate.cluster.entry import Choice, Command, ForgetResult, PollResult, ProducerResult, Result
from quorate.cluster.fsm import StateMachine
from quorate.cluster.replica import Replica
from quorate.cluster.state.foresight import is_unknown
from quorate.cluster.submit import operators
from quorate.cluster.submit.batch import refusal_of_whole, tallied_of, told_in_turns
from quorate.cluster.submit.batch_queue import WAITING_BYTES_MAX, BatchQueue
from quorate.cluster.submit.choices import choice_of, count_choices, key_of
from quorate.cluster.submit.departures import BULK_BYTES
from quorate.cluster.submit.early_answers import MANY, CatchUp, EarlyAnswers, Turn, next_turn, places_of
from quorate.cluster.submit.light_votes import LIGHT_VOTES
from quorate.cluster.submit.old_votes import TOO_OLD, old_votes
from quorate.cluster.submit.vote_columns import DecidedColumns, VoteColumns, bytes_max, columns_in_turns, columns_of
from quorate.errors import Deleted, NotReady, OutcomeUnknown, QuorateError, TooLarge
from quorate.measures import Histogram
from quorate.vote import Outcome, Rejection, Tallied, Vote
from quorate.words import count

VERY_MANY = 2_000  # votes; to put more into a batch takes the loop a millisecond


class Submitter:
    """Takes requests on the node's loop."""

    def __init__(
        self,
        replica: Replica,
        *,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
        catch_up: CatchUp | None = None,
        turn: Turn = next_turn,
        tells_steps: bool = False,
    ) -> None:
        """`catch_up` waits until all is applied here that was committed before, and `turn` for the time to decide votes
        that change nothing.

        With `tells_steps` followers are told when each thing was done with what they forwarded.
        """
        self._replica = replica
        self._now_s = asyncio.get_running_loop().time
        self._early = EarlyAnswers(replica, catch_up, turn)
        self._queue = BatchQueue(replica, waiting_bytes_max=waiting_bytes_max, tells_steps=tells_steps)
        self._operators = operators.OperatorCommands(replica)

    # ---- requests ---------------------------------------------------------------------------------------------------

    async def cast(
        self, votes: Sequence[Vote], *, timeout_s: float, sent_ms: Sequence[int] | None = None, share: int = 0
    ) -> Tallied:
        """Count votes that each stand alone. `share`: of the dedup window.

        All are decided at the version that is answered, or an earlier one: votes that change nothing
        (`early_answers.py`), and those of a request with very many that goes into the log piece by piece. Once a piece
        is decided, no error says "surely not".

        `sent_ms` says of votes from a queue when each was put there (Unix, ms). One that was meant for a poll which is
        deleted by now does not count in the new poll of its name.
        """
        if sent_ms is not None and (old := old_votes(self._replica.state, votes, sent_ms)):
            places = [place for place in range(len(votes)) if place not in old]
            tallied = Tallied(0, 0, [], self._replica.state.version)
            if places:
                tallied = await self.cast([votes[place] for place in places], timeout_s=timeout_s, share=share)
            told = [Rejection(place, votes[place].id, Outcome.DELETED.reason, TOO_OLD) for place in old]
            return _joined(tallied, places, told)
        hash_key, knew = self.hash_key, self._replica.state.newest_again
        many = len(votes) >= VERY_MANY
        columns = await columns_in_turns(votes, hash_key) if many else columns_of(votes, hash_key)
        decided = await self.cast_columns(columns, timeout_s=timeout_s, share=share, knew=knew, in_pieces=True)
        return await told_in_turns(votes, decided) if many else tallied_of(votes, decided)

    async def cast_columns(
        self,
        votes: VoteColumns,
        *,
        timeout_s: float,
        share: int = 0,
        clients: int = 1,
        knew: int | None = None,
        in_pieces: bool = False,
    ) -> DecidedColumns:
        """`cast`, of votes of so many clients that are columns already, hashed with `hash_key`.

        `knew`: see `Batch`, if they came before. Without `in_pieces`, what goes into the log goes in one entry.
        """
        deadline_s, knew = self._now_s() + timeout_s, self._replica.state.newest_again if knew is None else knew
        if len(votes) < MANY or (outcomes := await self._early.of_columns(votes, knew, timeout_s)) is None:
            return await self._count(votes, deadline_s, knew, share, clients, in_pieces)
        version, logged = self._replica.state.version, places_of(outcomes, Outcome.APPLIED)
        if logged:
            version, decided = await self._count(votes.at(logged), deadline_s, knew, share, clients, in_pieces)
            for place, outcome in zip(logged, decided, strict=True):
                outcomes[place] = outcome
        return DecidedColumns(version, bytes(outcomes))

    async def _count(
        self, votes: VoteColumns, deadline_s: float, knew: int, share: int, clients: int, in_pieces: bool
    ) -> DecidedColumns:
        share, size = self._share(share), bytes_max(votes.keys)
        if len(votes) >= VERY_MANY:
            return await self._count_many(votes, size, deadline_s, knew, share, in_pieces)
        ticket = self._queue.batch_for(size, deadline_s, knew).add_columns(votes, deadline_s, share, clients)
        decided: DecidedColumns = await ticket.answer
        return decided

    async def _count_many(
        self, votes: VoteColumns, size: int, deadline_s: float, knew: int, share: int, in_pieces: bool
    ) -> DecidedColumns:
        """All together, or piece by piece while light votes come. These go before each piece, so when half of its time
        has gone, the rest goes together."""
        half_s = (self._now_s() + deadline_s) / 2

        def is_full(size: int, left: int) -> bool:
            is_bulk = in_pieces and size > BULK_BYTES and left > LIGHT_VOTES  # and none is taken for light votes
            return is_bulk and self._queue.light_votes.come() and self._now_s() < half_s

        version, outcomes = 0, b""
        while (done := len(outcomes)) < len(votes):
            left = votes[done:] if done else votes
            try:
                async with self._queue.batch_alone(size * len(left) // len(votes), knew, goes_on=done > 0) as batch:
                    ticket = await batch.add_many(left, deadline_s, share, is_full)
                version, decided = await ticket.answer
            except QuorateError as error:
                if not done:
                    raise
                words = f"{done:,} of {count(len(votes), 'vote')} were decided; of the others: {error.detail}"
                raise OutcomeUnknown(words) from error
            outcomes += decided
        return DecidedColumns(version, outcomes)

    async def cast_once(self, key: str, votes: Sequence[Vote], *, timeout_s: float, share: int = 0) -> Tallied:
        """Count all of `votes` or none, once, under an idempotency key. Their own ids, if any, are ignored."""
        hash_key, deadline_s, knew = self.hash_key, self._now_s() + timeout_s, self._replica.state.newest_again
        if len(votes) >= MANY:
            await self._refuse_early(votes, lambda state: not state.foresight.is_known(key, hash_key), knew, timeout_s)
        choices, sums = await count_choices(votes)
        command = entry.CastOnce(
            entry.hash_id(key, hash_key), entry.fingerprint_of_body(sums), choices, _by_index(sums)
        )
        return await self._whole(command, votes, deadline_s, knew, self._share(share))

    async def cast_session(
        self, producer: str, epoch: int, sequence: int, votes: Sequence[Vote], *, timeout_s: float
    ) -> Tallied:
        """Count all of `votes` or none, once, as batch `sequence` of a producer session."""
        deadline_s, knew = self._now_s() + timeout_s, self._replica.state.newest_again
        if len(votes) >= MANY:
            await self._refuse_early(
                votes, lambda state: state.foresight.is_next(producer, epoch, sequence), knew, timeout_s
            )
        choices, sums = await count_choices(votes)
        command = entry.CastSession(
            producer, epoch, sequence, entry.fingerprint_of_body(sums), choices, _by_index(sums)
        )
        return await self._whole(command, votes, deadline_s, knew)

    async def _refuse_early(
        self, votes: Sequence[Vote], is_new: Callable[[StateMachine], bool], knew: int, timeout_s: float
    ) -> None:
        """Raise `Rejected` if many choices of a whole request are refused by this node's state already."""
        refused = await self._early.of_whole(votes, is_new, knew, timeout_s)
        if refused is None:
            return
        choices, by_choice = refused
        unknown = next((c for c, outcome in zip(choices, by_choice, strict=True) if is_unknown(outcome)), None)
        if unknown is not None:  # no vote for it, which the leader hears of all the same, and searches its sinks
            with contextlib.suppress(QuorateError):
                await self.command(entry.CastVotes([choice_of(key_of(unknown))], plain=[(0, 0)]), timeout_s=timeout_s)
        raise refusal_of_whole(choices, votes, by_choice)

    async def open_producer(self, producer: str, *, timeout_s: float, anew: bool = False) -> tuple[ProducerResult, int]:
        """`anew`: also a name that was forgotten. Nothing is forgotten below the level of the command for that."""
        is_known = self._replica.state.level >= entry.LEVEL_NEEDED[entry.RenewProducer]
        command = entry.RenewProducer(producer) if anew and is_known else entry.OpenProducer(producer)
        result, version = await self.command(command, timeout_s=timeout_s)
        if isinstance(result, ProducerResult):
            return result, version
        if isinstance(result, ForgetResult):
            raise Deleted(result.detail, producer=producer)
        raise TooLarge(getattr(result, "detail", "the session was refused"))  # nor will it fit later

    async def forget_producer(self, producer: str, epoch: int | None, *, timeout_s: float) -> tuple[ForgetResult, int]:
        """The caller has asked `require_level`."""
        result, version = await self.command(entry.ForgetProducer(producer, epoch), timeout_s=timeout_s)
        if not isinstance(result, ForgetResult):
            raise QuorateError(f"the cluster answered {type(result).__name__} to a command on a producer")
        return result, version

    async def delete_poll(self, poll_id: str, creation: int | None, *, timeout_s: float) -> tuple[PollResult, int]:
        """The caller has asked `require_level`."""
        return await self._poll_command(entry.DeletePoll(poll_id, creation), timeout_s)

    async def create_poll(self, poll: entry.CreatePoll, *, timeout_s: float) -> tuple[PollResult, int]:
        return await self._poll_command(poll, timeout_s)

    async def set_poll_state(self, poll_id: str, state: entry.State, *, timeout_s: float) -> tuple[PollResult, int]:
        return await self._poll_command(entry.SetPollState(poll_id, state), timeout_s)

    async def change_poll(self, change: entry.ChangePoll, *, timeout_s: float) -> tuple[PollResult, int]:
        """The caller has asked `require_level`."""
        return await self._poll_command(change, timeout_s)

    async def command(self, command: Command, *, timeout_s: float) -> tuple[Result, int]:
        """Any command: its result, and the version it was applied at."""
        if isinstance(command, operators.COMMANDS) and self._replica.state.level >= operators.LEVEL:
            return await self._operators.run(command, timeout_s=timeout_s)
        encoded, deadline_s = entry.encode_command(command), self._now_s() + timeout_s
        batch = self._queue.batch_for(len(encoded), deadline_s)
        answer: tuple[Result, int] = await batch.add_command(encoded, deadline_s).answer
        return answer

    async def _poll_command(self, command: Command, timeout_s: float) -> tuple[PollResult, int]:
        result, version = await self.command(command, timeout_s=timeout_s)
        if not isinstance(result, PollResult):
            raise QuorateError(f"the cluster answered {type(result).__name__} to a command on a poll; nothing changed")
        return result, version

    async def _whole(
        self,
        command: entry.CastOnce | entry.CastSession,
        votes: Sequence[Vote],
        deadline_s: float,
        knew: int,
        share: int = 0,
    ) -> Tallied:
        batch = self._queue.batch_for(bytes_max(list(map(key_of, command.choices))), deadline_s, knew)
        tallied: Tallied = await batch.add_whole(command, votes, deadline_s, share).answer
        return tallied

    # ---- the queue --------------------------------------------------------------------------------------------------

    @property
    def waiting_bytes(self) -> int:
        return self._queue.waiting_bytes

    @property
    def batch_requests(self) -> Histogram:
        """How many requests left together."""
        return self._queue.batch_requests

    def stop(self) -> None:
        """Refuse what waits (surely not counted). What was sent ends with its own answer. Idempotent."""
        self._queue.stop()

    def _share(self, share: int) -> int:
        """The share that votes can be in at the cluster's level."""
        return share if self._replica.state.level >= entry.LEVEL_NEEDED[entry.InShare] else 0

    @property
    def hash_key(self) -> bytes:
        """Of the cluster's ids. Raises `NotReady`."""
        key = self._replica.state.hash_key
        if not key:
            raise NotReady("this node has not joined its cluster yet; try again in a moment, or another node")
        return key


def _joined(tallied: Tallied, places: Sequence[int], rejected: list[Rejection]) -> Tallied:
    """What became of the votes at `places` of a request, and rejections of others."""
    for rejection in tallied.rejected:
        rejection.index = places[rejection.index]
    tallied.rejected += rejected
    tallied.rejected.sort(key=attrgetter("index"))
    return tallied


def _by_index(sums: list[tuple[Choice, int]]) -> list[tuple[int, int]]:
    return [(index, votes) for index, (_, votes) in enumerate(sums)]
