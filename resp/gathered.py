"""Votes of one client that stand next to each other: from commands to columns, and from outcomes to replies."""

from __future__ import annotations

from collections.abc import Callable

from quorate.cluster.submit.choices import choice_of
from quorate.cluster.submit.vote_columns import VoteColumns, distinct
from quorate.doors.bounds import check_votes
from quorate.errors import QuorateError
from quorate.resp.alike import AlikeVotes
from quorate.resp.votes import AddedVote, all_counted, as_decided, read_vote
from quorate.security.caller import Caller


class GatheredVotes:
    """`failure` makes the reply to a vote that is refused by itself."""

    __slots__ = ("_allow_unkeyed", "_caller", "_failure", "_hash_key", "_replies", "last", "votes")

    def __init__(
        self, caller: Caller, hash_key: bytes, failure: Callable[[QuorateError], bytes], *, allow_unkeyed: bool
    ) -> None:
        self._caller, self._hash_key, self._failure, self._allow_unkeyed = caller, hash_key, failure, allow_unkeyed
        self.votes = VoteColumns([], [])
        self._replies: list[bytes | None] = []  # None: of a vote that is cast
        self.last: tuple[list[bytes], AddedVote] | None = None  # of those that were parsed and are cast

    def add(self, command: list[bytes]) -> None:
        try:
            vote = read_vote(command, allow_unkeyed=self._allow_unkeyed)
            check_votes(self._caller, (vote,), command="XADD")
        except QuorateError as error:
            self._replies.append(self._failure(error))
            return
        self._replies.append(None)
        self.votes.keys.append(vote.key)
        self.votes.ids.append(vote.id_hash(self._hash_key))
        self.last = command, vote

    def add_alike(self, alike: AlikeVotes) -> None:
        """The same, but for what is known of them already."""
        keys = alike.keys
        try:
            check_votes(self._caller, map(choice_of, distinct(keys)))
        except QuorateError:
            for command in alike.commands():
                self.add(command)
            return
        self._replies += [None] * len(keys)
        self.votes.keys += keys
        self.votes.ids += alike.hashes()

    def all_counted(self, version: int) -> bytes:
        """The replies, if all that were cast are counted now."""
        count = len(self.votes.keys)
        if count == len(self._replies):
            return all_counted(version, count)
        return self.decided(version, bytes(count))

    def decided(self, version: int, outcomes: bytes) -> bytes:
        """The replies. `outcomes` are those of the votes that were cast."""
        codes = iter(outcomes)
        return b"".join(
            [
                as_decided(version, place, next(codes)) if reply is None else reply
                for place, reply in enumerate(self._replies)
            ]
        )

    def refused(self, told: bytes) -> bytes:
        """The replies, if none of them was counted."""
        return b"".join([told if reply is None else reply for reply in self._replies])
