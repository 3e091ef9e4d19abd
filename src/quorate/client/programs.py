"""What takes more than one request: many votes, a session's batches, long listings. No I/O.

A program yields calls, and is sent what each of them read; an error is raised where the call was yielded. So both
clients run the same programs.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from quorate.client import calls
from quorate.client.answers import PollInfo
from quorate.client.calls import Call, OpenedSession
from quorate.client.error_replies import worth_another_try
from quorate.errors import Deleted, ExpiredId, QuorateError, TooLarge
from quorate.vote import REQUEST_BYTES_MAX, VOTES_PER_REQUEST_MAX, Tallied, Vote

T = TypeVar("T")
PAGE_POLLS = 1_000
Program = Generator[Call[Any], Any, T]


class TakenOver(ExpiredId):
    """Somebody else opened the producer session: it has a newer epoch, and this writer's batches count no more.

    `fields["votes"]` is the batch that was refused. If `fields["in_doubt"]`, an earlier attempt to send it may have
    been counted, before the session was taken over: the new writer's `sequence` tells.
    """

    title = "Another writer has this session now"


def one(call: Call[T]) -> Program[T]:
    answer: T = yield call
    return answer


# ---- votes ----------------------------------------------------------------------------------------------------------


def vote_of(vote: Vote | str, poll: str | None = None) -> Vote:
    """`poll` is for votes that name none."""
    made = Vote(vote) if isinstance(vote, str) else vote
    return msgspec.structs.replace(made, poll=poll) if made.poll is None and poll is not None else made


def with_ids(votes: Iterable[Vote | str], *, poll: str | None = None) -> list[Vote]:
    """The same votes, with a new id for each that has none. Sent once more, however often, they count once."""
    named = [vote_of(vote, poll) for vote in votes]
    return [each if each.id is not None else msgspec.structs.replace(each, id=calls.new_id()) for each in named]


def cast_one(vote: Vote) -> Program[Tallied]:
    try:
        tallied: Tallied = yield calls.vote(vote)
    except QuorateError as error:
        error.fields["votes"] = [vote]
        raise
    return tallied


def cast_many(votes: Sequence[Vote]) -> Program[Tallied]:
    """Count votes, each with an id, in as many requests as their number and their size want."""
    sum_ = Tallied(0, 0, [], 0)
    begin = 0
    for number, body in _in_requests(votes):
        try:
            tallied: Tallied = yield calls.votes(body)
        except QuorateError as error:
            error.fields |= {"votes": list(votes[begin:]), "tallied": sum_}
            raise
        sum_.take_in(tallied, begin)
        begin += number
    return sum_


def cast_once(votes: Sequence[Vote], key: str) -> Program[Tallied]:
    try:
        tallied: Tallied = yield calls.votes_once(votes, key)
    except QuorateError as error:
        error.fields["key"] = key
        raise
    return tallied


def _in_requests(votes: Sequence[Vote]) -> Iterator[tuple[int, bytes]]:
    """How many votes, and they as an array, for each request."""
    held: list[bytes] = []
    size = 2
    for vote in votes:
        text = calls.encode(vote)
        if held and (len(held) == VOTES_PER_REQUEST_MAX or size + len(text) + 1 > REQUEST_BYTES_MAX):
            yield len(held), b"[%s]" % b",".join(held)
            held, size = [], 2
        held.append(text)
        size += len(text) + 1
    if held:
        yield len(held), b"[%s]" % b",".join(held)


class SessionBatches:
    """The batches of a producer session. At most one batch is in doubt, and it is settled before the next is sent."""

    def __init__(self, opened: OpenedSession) -> None:
        self.name, self.epoch, self.sequence = opened.producer, opened.epoch, opened.sequence
        self._open: list[Vote] | None = None  # a batch that was sent, and of which no end is known
        self._in_doubt = False  # it may have been counted
        self._is_over = False

    @property
    def in_doubt(self) -> bool:
        return self._open is not None

    def send(self, votes: Iterable[Vote | str], poll: str | None) -> Program[Tallied]:
        batch = [vote_of(vote, poll) for vote in votes]
        yield from self.settle()
        self._open, self._in_doubt = batch, False
        return (yield from self._send(batch))

    def settle(self) -> Program[Tallied | None]:
        """Send the batch in doubt again, if there is one."""
        if self._open is None:
            return None
        self._in_doubt = True
        return (yield from self._send(self._open))

    def _send(self, batch: list[Vote]) -> Program[Tallied]:
        if self._is_over:
            raise self._taken_over(f"the session {self.name!r} was taken over by another writer", batch)
        try:
            tallied: Tallied = yield calls.batch_of_session(self.name, self.epoch, self.sequence + 1, batch)
        except ExpiredId as error:
            self._is_over = True
            raise self._taken_over(error.detail, batch) from None
        except QuorateError as error:
            if not error.definite or (self._in_doubt and worth_another_try(error)):
                error.fields["in_doubt"] = True
            else:
                self._open = None
            raise
        self._open = None
        self.sequence += 1
        return tallied

    def _taken_over(self, detail: str, batch: list[Vote]) -> TakenOver:
        return TakenOver(detail, votes=batch, in_doubt=self._in_doubt)


# ---- polls ----------------------------------------------------------------------------------------------------------


def all_polls(state: str | None, min_version: int) -> Program[list[PollInfo]]:
    """In one answer if it fits: nodes of 0.1.0 know no pages."""
    try:
        whole: calls.PollPage = yield calls.poll_page(state, None, min_version, limit=None)
    except TooLarge:
        return (yield from _poll_pages(state, min_version))
    return whole.polls


def _poll_pages(state: str | None, min_version: int) -> Program[list[PollInfo]]:
    found: list[PollInfo] = []
    cursor: str | None = None
    while True:
        page: calls.PollPage = yield calls.poll_page(state, cursor, min_version, limit=PAGE_POLLS)
        found += page.polls
        cursor = page.next
        if cursor is None:
            return found


def delete_poll(id: str, creation: int | None, min_version: int) -> Program[bool]:
    """The creation is looked up first, so that a request that is sent again never deletes a later poll of the name."""
    try:
        if creation is None:
            poll: PollInfo = yield calls.poll(id, min_version)
            creation = poll.creation
        yield calls.delete_poll(id, creation)
    except Deleted:
        return False
    return True
