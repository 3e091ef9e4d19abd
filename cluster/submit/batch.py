"""A batch: requests go in, one encoded list of commands comes out, and each request is told its part of the results.

Votes that are decided one by one have one `CastVotes` command together, whoever sent them: a table of distinct choices,
a column of id hashes, and sums for votes without ids. Every other request is a command of its own, after that one. Each
share of the dedup window has its own part of the batch.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, cast

import msgspec

from quorate.cluster import entry
from quorate.cluster.entry import Choice, Command, Result, VotesResult, WholeResult
from quorate.cluster.submit.choices import VOTES_A_PIECE, Key, choice_of, key_of
from quorate.cluster.submit.vote_columns import DecidedColumns, VoteColumns, distinct
from quorate.errors import Conflict, Deleted, ExpiredId, Invalid, QuorateError, Rejected
from quorate.tracing import REQUEST, RequestTrace
from quorate.vote import Outcome, Rejection, Tallied, Vote

DETAILS = {
    Outcome.CONFLICT: "this id was used for another choice, which stands",
    Outcome.UNKNOWN_OPTION: "no open poll has this option",
    Outcome.UNKNOWN_POLL: "there is no poll with this id",
    Outcome.CLOSED: "the poll is not open",
    Outcome.EXPIRED_ID: "too old to tell whether it was counted",
    Outcome.TOO_LARGE: "the total would pass its limit",
    Outcome.INVALID: "the vote does not make sense",
    Outcome.DELETED: "its poll was deleted. If another one has the name now, send the vote again for that one",
}
TOLD = {int(outcome): (outcome.reason, detail) for outcome, detail in DETAILS.items()}  # a request may have thousands
TOLD_AT_ONCE = 1_000  # votes of which it is told in one turn of the loop
DUPLICATE = int(Outcome.DUPLICATE)
ID_BYTES, CHOICE_BYTES, SUM_BYTES = entry.ID_HASH_BYTES + 4, 10, 4  # encoded, at the least; an id has its pick


class Ticket:
    """One request of a batch: its future, and how to read its answer from the batch's results."""

    __slots__ = ("answer", "read")

    def __init__(self, answer: asyncio.Future[Any], read: Callable[[int, list[Result]], Any]) -> None:
        self.answer, self.read = answer, read


class _Part:
    """What a batch has of one share of the dedup window."""

    __slots__ = (
        "choices",
        "commands",
        "commands_at",
        "ids",
        "index",
        "picks",
        "plain",
        "plain_places",
        "share",
        "votes_at",
    )

    def __init__(self, share: int) -> None:
        self.share = share
        self.index: dict[Key, int] = {}
        self.choices: list[Choice] = []
        self.ids: list[bytes] = []
        self.picks = array("I")
        self.plain: dict[int, int] = {}
        self.plain_places: dict[int, int] = {}
        self.commands: list[Command | msgspec.Raw] = []
        self.votes_at = self.commands_at = 0  # of their results in those of the batch; known when it is encoded

    @property
    def bytes_min(self) -> int:
        """That its votes take at the least when they are encoded."""
        return ID_BYTES * len(self.picks) + CHOICE_BYTES * len(self.choices) + SUM_BYTES * len(self.plain)

    def add_to(self, commands: list[Command | msgspec.Raw]) -> None:
        if self.share:
            commands.append(entry.InShare(self.share))
        self.votes_at = len(commands)
        if self.index:
            plain = [(pick, self.plain[pick]) for pick in self.plain_places]
            commands.append(entry.CastVotes(self.choices, b"".join(self.ids), _little_endian(self.picks), plain))
        self.commands_at = len(commands)
        commands += self.commands


class _AddedVotes:
    """The votes of one request that a part of a batch has, and how to read their answer."""

    __slots__ = ("_added", "_end", "_part", "_start", "_without_id")

    def __init__(self, part: _Part) -> None:
        self._part = part
        self._added = 0  # of the request's votes
        self._start = self._end = len(part.picks)
        self._without_id: list[tuple[int, int]] = []  # (place of the vote, index of its item in `plain`)

    def add(self, votes: VoteColumns) -> None:
        """Put in the next ones."""
        part, keys, ids = self._part, votes.keys, votes.ids
        index, places = part.index, []
        for key in distinct(keys):
            place = index.get(key)
            if place is None:
                place = index[key] = len(index)
                part.choices.append(choice_of(key))
            places.append(place)
        picks = places * len(keys) if len(places) == 1 else map(index.__getitem__, keys)
        if None not in ids:
            part.picks.extend(picks)
            part.ids += cast("list[bytes]", ids)
        else:
            for place, (pick, id) in enumerate(zip(picks, ids, strict=True), self._added):
                if id is not None:
                    part.picks.append(pick)
                    part.ids.append(id)
                else:
                    part.plain[pick] = part.plain.get(pick, 0) + 1
                    self._without_id.append((place, part.plain_places.setdefault(pick, len(part.plain_places))))
        self._added += len(keys)
        self._end = len(part.picks)

    def read(self, version: int, results: list[Result]) -> DecidedColumns:
        result = results[self._part.votes_at]
        if not isinstance(result, VotesResult):
            raise QuorateError(f"the cluster answered {result} to votes; nothing was counted")
        outcomes = result.outcomes[self._start : self._end]
        if self._without_id:
            outcomes = _in_order(self._added, outcomes, self._without_id, result.plain)
        return DecidedColumns(version, outcomes)


class Batch:
    """Commands that leave together. It is encoded once, and `settle` or `fail` answers every request in it.

    `knew` is what this node knew of polls that took the name of a deleted one, when the first request joined (see
    `entry.Seen`). It stays with the batch however often that is sent. 0: there is none, and nothing is said.
    """

    def __init__(self, knew: int = 0) -> None:
        self.knew = knew
        self._loop = asyncio.get_running_loop()  # kept: on Python 3.11 each look is a system call
        self.size = 0
        self.is_alone = False
        self.is_light = False  # it has light requests alone
        self.deadline_s = float("inf")  # the earliest of its requests: a batch that cannot leave by then is refused
        self._parts: dict[int, _Part] = {}  # by share
        self._tickets: list[Ticket] = []
        self.clients = 0  # that wait for it
        self.traces: tuple[RequestTrace, ...] = ()  # of its requests, those that are traced

    def note_trace(self) -> None:
        """If the request that joins is traced, keep that in mind."""
        if (trace := REQUEST.get()) is not None:
            trace.joined_s = perf_counter()
            self.traces = (*self.traces, trace)

    @property
    def requests(self) -> int:
        """How many have joined."""
        return len(self._tickets)

    def _ticket(self, read: Callable[[int, list[Result]], Any], deadline_s: float, clients: int = 1) -> Ticket:
        ticket = Ticket(self._loop.create_future(), read)
        self.clients += clients
        self._tickets.append(ticket)
        self.deadline_s = min(self.deadline_s, deadline_s)
        return ticket

    def _part(self, share: int) -> _Part:
        part = self._parts.get(share)
        if part is None:
            part = self._parts[share] = _Part(share)
        return part

    def add_columns(self, votes: VoteColumns, deadline_s: float, share: int = 0, clients: int = 1) -> Ticket:
        """Votes of so many clients."""
        added = _AddedVotes(self._part(share))
        added.add(votes)
        return self._ticket(added.read, deadline_s, clients)

    async def add_many(
        self, votes: VoteColumns, deadline_s: float, share: int, is_full: Callable[[int, int], bool]
    ) -> Ticket:
        """`add_columns` in pieces, between which the loop does other things. Nobody else may have this batch meanwhile.

        `is_full` is asked between them, of the bytes that they take at the least and of the votes that are left. The
        answer has an outcome for those that were added.
        """
        part, end = self._part(share), 0
        added = _AddedVotes(part)
        while end < len(votes) and not (end and is_full(part.bytes_min, len(votes) - end)):
            added.add(votes[end : end + VOTES_A_PIECE])
            end += VOTES_A_PIECE
            await asyncio.sleep(0)
        return self._ticket(added.read, deadline_s)

    def add_whole(
        self, command: entry.CastOnce | entry.CastSession, votes: Sequence[Vote], deadline_s: float, share: int = 0
    ) -> Ticket:
        part = self._part(share)
        place = len(part.commands)
        part.commands.append(command)
        return self._ticket(
            lambda version, results: _whole(command, votes, version, results[part.commands_at + place]), deadline_s
        )

    def add_command(self, command: bytes, deadline_s: float) -> Ticket:
        """Add a command that is encoded already: a poll may have megabytes, and is encoded only once."""
        part = self._part(0)
        place = len(part.commands)
        part.commands.append(msgspec.Raw(command))
        return self._ticket(lambda version, results: (results[part.commands_at + place], version), deadline_s)

    def encode(self) -> bytes:
        commands: list[Command | msgspec.Raw] = [entry.Seen(self.knew)] if self.knew else []
        for _, part in sorted(self._parts.items()):  # the common share first: a batch begins there
            part.add_to(commands)
        return entry.encode_batch(commands)

    def settle(self, version: int, results: list[Result]) -> None:
        """Answer each request from its part of the results."""
        for ticket in self._tickets:
            if ticket.answer.done():
                continue
            try:
                ticket.answer.set_result(ticket.read(version, results))
            except Exception as error:
                ticket.answer.set_exception(error)

    def fail(self, error: BaseException) -> None:
        for ticket in self._tickets:
            if not ticket.answer.done():
                ticket.answer.set_exception(error)


def _little_endian(numbers: array[int]) -> bytes:
    if array("I", [1]).tobytes()[0] != 1:
        numbers = array("I", numbers)
        numbers.byteswap()
    return numbers.tobytes()


def tallied_of(votes: Sequence[Vote], decided: DecidedColumns) -> Tallied:
    version, outcomes = decided
    if not any(outcomes):  # the common case: all votes were applied
        return Tallied(len(votes), 0, [], version)
    if Outcome.CONFLICT in outcomes:
        outcomes = bytes(
            Outcome.DUPLICATE if _is_ignored(*each) else each[1] for each in zip(votes, outcomes, strict=True)
        )
    applied, duplicates = outcomes.count(Outcome.APPLIED), outcomes.count(Outcome.DUPLICATE)
    rejected = [
        Rejection(place, votes[place].id, *TOLD[code]) for place, code in enumerate(outcomes) if code > DUPLICATE
    ]
    return Tallied(applied, duplicates, rejected, version)


async def told_in_turns(votes: Sequence[Vote], decided: DecidedColumns) -> Tallied:
    """`tallied_of` very many votes: the loop does other things meanwhile."""
    version, outcomes = decided
    tallied = Tallied(0, 0, [], version)
    for start in range(0, len(votes), TOLD_AT_ONCE):
        some = slice(start, start + TOLD_AT_ONCE)
        tallied.take_in(tallied_of(votes[some], DecidedColumns(version, outcomes[some])), start)
        await asyncio.sleep(0)
    return tallied


def _is_ignored(vote: Vote, code: int) -> bool:
    """It wanted to count only if nothing was chosen under its id. The log knows nothing of this."""
    return vote.first_only and code == Outcome.CONFLICT


def _in_order(count: int, outcomes: bytes, without_id: list[tuple[int, int]], plain: bytes) -> bytes:
    """One outcome for each vote, in the order of the request."""
    by_vote = bytearray(count)
    places = {place for place, _ in without_id}
    for place, code in zip((p for p in range(count) if p not in places), outcomes, strict=True):
        by_vote[place] = code
    for place, item in without_id:
        by_vote[place] = plain[item]
    return bytes(by_vote)


def _whole(command: entry.CastOnce | entry.CastSession, votes: Sequence[Vote], version: int, result: Result) -> Tallied:
    if not isinstance(result, WholeResult):
        raise QuorateError(f"the cluster answered {result} to a request; nothing was counted")
    outcome = Outcome(result.outcome)
    if outcome is Outcome.APPLIED:
        return Tallied(result.votes, 0, [], version)
    if outcome is Outcome.DUPLICATE:
        return Tallied(0, result.votes, [], version)
    if result.by_choice:
        raise refusal_of_whole(command.choices, votes, result.by_choice)
    detail = result.detail or DETAILS[outcome]
    if outcome is Outcome.CONFLICT:
        raise Conflict(detail)
    if outcome is Outcome.EXPIRED_ID:
        raise ExpiredId(detail)
    if outcome is Outcome.DELETED:
        raise Deleted(detail)
    raise Invalid(detail)


def refusal_of_whole(choices: Sequence[Choice | Vote], votes: Sequence[Vote], by_choice: bytes) -> Rejected:
    """`by_choice` has the outcome of each choice."""
    codes = {key_of(choice): code for choice, code in zip(choices, by_choice, strict=True)}
    rejected = [
        {"index": place, "id": vote.id, "reason": TOLD[code][0], "detail": TOLD[code][1]}
        for place, vote in enumerate(votes)
        if (code := codes[key_of(vote)]) > DUPLICATE
    ]
    words = "a vote of this request cannot count, so none was counted; correct it and send it again"
    return Rejected(words, rejected=rejected)
