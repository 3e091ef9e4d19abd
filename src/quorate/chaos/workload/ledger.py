"""The requests of a run that are not done with: those whose outcome is unknown, and some that were acknowledged.

An unknown request is sent again until an answer says what became of it. A few of those that were acknowledged are sent
again as well, while the cluster must still know their ids.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import msgspec

from quorate.chaos.history import Door, SentVote
from quorate.chaos.workload.judged import Judged
from quorate.chaos.workload.redis_replies import command

SAMPLE = 4_000  # acknowledged requests that are kept
KEPT_OF = 8  # one of so many acknowledged requests is kept

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True, eq=False)
class VoteRequest:
    """One request to count votes. Its bytes never change; `headers` do only for a session that was taken over."""

    name: str
    votes: list[SentVote]
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    way: str = "ids"
    door: Door = "http"
    replies: int = 0  # that come, by Redis' protocol
    producer: str = ""
    epoch: int = 0
    sequence: int = 0
    unknown_attempts: int = 0
    is_acknowledged: bool = False  # an answer said that it is counted
    is_open: bool = True  # no answer has said what became of it
    ids_before: int = 0  # that were accepted when it was acknowledged
    follows_queue: bool = False  # a queue had it, and was finished with it before the first attempt by HTTP

    @property
    def ids(self) -> int:
        """How many places it takes in the dedup window."""
        return 1 if self.way == "key" else sum(vote.id is not None for vote in self.votes)

    def learn(self, judged: Judged) -> None:
        if judged.outcome == "unknown":
            self.unknown_attempts += 1
            return
        if judged.outcome == "ok":
            self.is_open = False
            self.is_acknowledged |= judged.applied + judged.duplicates + judged.counted > 0


def request_of(name: str, votes: list[SentVote], *, key: str | None = None) -> VoteRequest:
    headers = () if key is None else (("Idempotency-Key", key),)
    return VoteRequest(name, votes, body_of(votes), headers, "ids" if key is None else "key")


def redis_request_of(name: str, votes: list[SentVote], *, transaction: bool = False) -> VoteRequest:
    """The same votes for a Redis client, in a pipeline if they are several. The producer is the client that made it."""
    producer = name.rpartition(".")[0]
    sent = [_xadd(producer, vote) for vote in votes]
    if transaction:
        sent = [command("MULTI"), *sent, command("EXEC")]
    return VoteRequest(name, votes, b"".join(sent), door="resp", replies=len(sent))


def _xadd(producer: str, vote: SentVote) -> bytes:
    key = "votes" if vote.poll is None else f"poll:{vote.poll}"
    iid = (vote.id or "").removeprefix(f"{producer}.")
    return command("XADD", key, "IDMP", producer, iid, "*", "option", vote.option, "weight", vote.weight)


def body_of(votes: list[SentVote]) -> bytes:
    """A single vote is sent as an object, several as an array."""
    return _encode(_as_sent(votes[0]) if len(votes) == 1 else [_as_sent(vote) for vote in votes])


def _as_sent(vote: SentVote) -> dict[str, object]:
    sent: dict[str, object] = {"option": vote.option, "weight": vote.weight}
    if vote.id is not None:
        sent["id"] = vote.id
    if vote.poll is not None:
        sent["poll"] = vote.poll
    return sent


class Ledger:
    def __init__(self, window: int) -> None:
        self.unsettled: dict[str, VoteRequest] = {}  # given up for now, oldest first
        self.doubtful: dict[str, VoteRequest] = {}  # refused, but an earlier attempt may still count
        self._sample: deque[VoteRequest] = deque(maxlen=SAMPLE)
        self._window = window
        self._accepted = 0  # ids, as far as our clients know
        self._seen = 0

    def done(self, request: VoteRequest) -> None:
        """An answer told what became of it."""
        self.unsettled.pop(request.name, None)
        if request.is_acknowledged:
            self.doubtful.pop(request.name, None)
            self._accepted += request.ids
            self._seen += 1
            if request.way != "session" and self._seen % KEPT_OF == 0:
                request.ids_before = self._accepted
                self._sample.append(request)
        elif request.unknown_attempts and request.way != "session":
            self.doubtful[request.name] = request

    def give_up(self, request: VoteRequest) -> None:
        """It is not sent again for now."""
        if request.unknown_attempts and request.way != "session":  # a session's writer keeps its own
            self.unsettled[request.name] = request

    def oldest(self) -> VoteRequest | None:
        """Of those that were given up, for somebody who sends it again now."""
        name = next(iter(self.unsettled), None)
        return None if name is None else self.unsettled.pop(name)

    def known(self, chance: random.Random) -> VoteRequest | None:
        """An acknowledged request that the cluster must still know."""
        while self._sample and not self.is_within(self._sample[0]):
            self._sample.popleft()
        return chance.choice(self._sample) if self._sample else None

    def sample(self, chance: random.Random, count: int) -> list[VoteRequest]:
        fresh = [request for request in self._sample if self.is_within(request)]
        return chance.sample(fresh, min(count, len(fresh)))

    def is_within(self, request: VoteRequest) -> bool:
        """Half the window: what other clients were told is not counted here, nor what was refused an answer."""
        return self._accepted - request.ids_before < self._window // 2
