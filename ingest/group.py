"""Messages whose votes are counted together, and the letters about those that do not count."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from quorate.errors import QuorateError, TooLarge
from quorate.ingest import dead_letters
from quorate.ingest.bodies import read_body
from quorate.ingest.patience import UNKNOWN
from quorate.ingest.queue import Delivery
from quorate.vote import Rejection, Vote
from quorate.vote_json import BadVote

D = TypeVar("D", bound=Delivery)
Rejected = tuple[str, str, Vote | bytes]  # reason, detail, the vote or the JSON that it was sent as


class Group(Generic[D]):
    """`starts[i]` is where the votes of `deliveries[i]` begin."""

    def __init__(self) -> None:
        self.deliveries: list[D] = []
        self.starts: list[int] = []
        self.votes: list[Vote] = []
        self.sent_ms: list[int] = []  # of each vote
        self.bytes = 0
        self.is_rest = False  # other votes of its message were decided before
        self.rejected: dict[D, list[Rejected]] = {}  # what is known to be rejected before the cluster is asked
        self.poison: list[tuple[D, QuorateError]] = []

    def add(self, delivery: D) -> None:
        """A vote without an id gets one that is made of the message's identity and of its place there."""
        self.bytes += len(delivery.body)
        try:
            body = read_body(delivery.body)
        except QuorateError as error:
            self.poison.append((delivery, error))
            return
        self.deliveries.append(delivery)
        self.starts.append(len(self.votes))
        if body.refused:
            self.rejected[delivery] = [_refused(bad) for bad in body.refused]
        identity = ""
        for place, vote in enumerate(body.votes):
            if vote.id is None:
                index = place if body.places is None else body.places[place]
                identity = identity or delivery.identity
                vote.id = f"{identity}:{index}"
        self.votes += body.votes
        self.sent_ms += [delivery.sent_ms] * len(body.votes)

    def by_delivery(self, rejections: Iterable[Rejection]) -> dict[D, list[Rejection]]:
        found: dict[D, list[Rejection]] = {}
        for rejection in rejections:
            found.setdefault(self.deliveries[bisect_right(self.starts, rejection.index) - 1], []).append(rejection)
        return found

    def is_decided_in_part(self, rejections: Sequence[Rejection]) -> bool:
        """Whether a vote of the message that has these rejections must not be submitted again.

        It was counted, or is a conflict. The protection of its id may end, and then it would be counted.
        """
        if self.is_rest or any(rejection.reason == "conflict" for rejection in rejections):
            return True
        after = bisect_right(self.starts, rejections[0].index)
        end = self.starts[after] if after < len(self.starts) else len(self.votes)
        return end - self.starts[after - 1] > len(rejections)

    def rest(self, delivery: D, rejections: Iterable[Rejection]) -> Group[D]:
        """What is left to try again of one message: the votes that name what nobody knows.

        Its other votes are decided. They are not submitted again, because the protection of their ids may end.
        """
        rest: Group[D] = Group()
        rest.deliveries, rest.starts, rest.is_rest = [delivery], [0], True
        rejected = self.rejected.get(delivery, []).copy()
        for rejection in rejections:
            vote = self.votes[rejection.index]
            if rejection.reason in UNKNOWN:
                rest.votes.append(vote)
                rest.sent_ms.append(delivery.sent_ms)
            else:
                rejected.append((rejection.reason, rejection.detail, vote))
        if rejected:
            rest.rejected[delivery] = rejected
        return rest

    def poison_letters(self) -> dict[D, list[bytes]]:
        letters = {}
        for delivery, error in self.poison:
            reason = "too_large" if isinstance(error, TooLarge) else "invalid"
            letters[delivery] = [dead_letters.of_message(delivery.origin, delivery.body, reason, error.detail)]
        return letters

    def vote_letters(self, rejections: dict[D, list[Rejection]], reasons: Counter[str]) -> dict[D, list[bytes]]:
        """Letters about votes that the cluster rejected, and about votes that are invalid by themselves.

        Their reasons are counted in `reasons`.
        """
        found = {delivery: rejected.copy() for delivery, rejected in self.rejected.items()}
        for delivery, rejected in rejections.items():
            its = ((r.reason, r.detail, self.votes[r.index]) for r in rejected)
            found.setdefault(delivery, []).extend(its)
        for rejected_votes in found.values():
            reasons.update(reason for reason, _, _ in rejected_votes)
        return {d: list(dead_letters.of_votes(d.origin, rejected)) for d, rejected in found.items()}


def _refused(bad: BadVote) -> Rejected:
    return bad.reason, bad.detail, bad.raw
