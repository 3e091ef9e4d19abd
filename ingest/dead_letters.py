"""Dead letters: messages that are no votes, and votes that were rejected, each kept with the reason.

A dead letter begins with one line of JSON. It says what happened and where the message came from. The content follows:

- of a message that could not be read: its body, unchanged;
- of rejected votes: one vote in JSON a line, each with the id under which it was submitted. Without its first line,
  such a letter may be published again, as often as one likes: its votes count once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from quorate.errors import Invalid
from quorate.ingest.split import split
from quorate.unreadable import UNREADABLE
from quorate.vote import VOTES_PER_REQUEST_MAX, Vote
from quorate.words import count

LETTER_BYTES_MAX = 256 * 1024  # of votes; nsqd takes messages of up to 1 MiB by default
SMALL_BYTES = 64 * 1024

_encode = msgspec.json.encode
_decode_vote = msgspec.json.Decoder(Vote).decode


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter that was read. `content` is what stands below its first line."""

    reason: str
    detail: str
    origin: Mapping[str, Any]
    content: bytes

    @property
    def lines(self) -> Sequence[bytes]:
        return self.content.splitlines()

    def votes(self) -> list[Vote]:
        """The rejected votes. Raises `Invalid` if what is there can never count: it is no vote, or has no id."""
        try:
            votes = [_decode_vote(line) for line in self.lines]
        except UNREADABLE as error:
            raise Invalid(f"it holds no votes: {error}") from None
        if not votes or any(vote.id is None for vote in votes):
            raise Invalid("it holds a vote without an id, which could be counted twice")
        if len(votes) > VOTES_PER_REQUEST_MAX:
            raise Invalid(f"it holds {count(len(votes), 'vote')}; a message has at most {VOTES_PER_REQUEST_MAX:,}")
        return votes


def read_letter(data: bytes) -> Letter:
    """Raises `Invalid` if this is no letter of ours."""
    head, _, content = data.partition(b"\n")
    try:
        fields = msgspec.json.decode(head, type=dict[str, Any])
        reason, detail = str(fields.pop("reason")), str(fields.pop("detail"))
    except (*UNREADABLE, KeyError):
        raise Invalid("it does not begin as a dead letter does") from None
    origin = {name: value for name, value in fields.items() if name not in ("votes", "bytes")}
    return Letter(reason, detail, origin, content)


def of_message(origin: Mapping[str, Any], body: bytes, reason: str, detail: str) -> bytes:
    """A letter with the whole message. A body of over 64 KiB loses as many bytes at its end as the first line takes."""
    head = _head(origin, reason, detail, bytes=len(body))
    return head + body[: len(body) - (len(head) if len(body) > SMALL_BYTES else 0)]


def of_votes(origin: Mapping[str, Any], rejected: Iterable[tuple[str, str, Vote | bytes]]) -> Iterator[bytes]:
    """Letters with votes of one message. `rejected` are (reason, detail, the vote or the JSON that it was sent as).

    There is one letter for each reason and detail, or several if the votes are too long for one.
    """
    ordered = sorted(rejected, key=itemgetter(0, 1))
    for (reason, detail), group in groupby(ordered, key=itemgetter(0, 1)):
        for lines in split((_line(vote) for _, _, vote in group), bytes_max=LETTER_BYTES_MAX):
            yield _head(origin, reason, detail, votes=len(lines)) + b"".join(lines)


def _head(origin: Mapping[str, Any], reason: str, detail: str, **more: int) -> bytes:
    return _encode({"reason": reason, "detail": detail, **origin, **more}) + b"\n"


def _line(vote: Vote | bytes) -> bytes:
    if isinstance(vote, bytes):
        return msgspec.json.format(vote, indent=-1) + b"\n"
    fields = {"option": vote.option, "id": vote.id, "poll": vote.poll, "weight": vote.weight}
    fields |= {"first_only": True} if vote.first_only else {}
    return _encode({name: value for name, value in fields.items() if value is not None}) + b"\n"
