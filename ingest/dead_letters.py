"""How a message that is no vote, or a vote that did not count, is kept: in a topic of its own, with the reason.

A dead letter is one line of JSON that says what happened, then the thing itself. Of a message that could not be read,
that is its body as it came. Of votes that were rejected, one vote a line, each with the id it was submitted under: such
a letter without its first line may be published again, as often as one likes, and counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from quorate.ingest.nsq.connection import NsqDelivery
from quorate.vote import Vote

LETTER_BYTES_MAX = 256 * 1024  # of votes; nsqd takes 1 MiB unless told otherwise
SMALL_BYTES = 64 * 1024

_encode = msgspec.json.encode


def of_message(topic: str, delivery: NsqDelivery, reason: str, detail: str) -> bytes:
    """The whole message. One near nsqd's limit loses as many bytes at its end as the first line needs."""
    head = _head(topic, delivery, reason, detail, bytes=len(delivery.body))
    room = len(delivery.body) - (len(head) if len(delivery.body) > SMALL_BYTES else 0)
    return head + delivery.body[:room]


def of_votes(topic: str, delivery: NsqDelivery, rejected: Iterable[tuple[str, str, Vote | bytes]]) -> Iterator[bytes]:
    """`rejected` are (reason, detail, the vote, or the JSON it stood as). One letter a reason, or several if long."""
    ordered = sorted(rejected, key=itemgetter(0, 1))
    for (reason, detail), group in groupby(ordered, key=itemgetter(0, 1)):
        lines = [_line(vote) for _, _, vote in group]
        for part in _parts(lines):
            yield _head(topic, delivery, reason, detail, votes=len(part)) + b"".join(part)


def _head(topic: str, delivery: NsqDelivery, reason: str, detail: str, **more: Any) -> bytes:
    head: dict[str, Any] = {"reason": reason, "detail": detail, "topic": topic, "message": delivery.id.decode()}
    head |= {"timestamp_ns": delivery.timestamp_ns, "attempts": delivery.attempts, "nsqd": delivery.connection.id}
    return _encode(head | more) + b"\n"


def _line(vote: Vote | bytes) -> bytes:
    if isinstance(vote, bytes):
        return msgspec.json.format(vote, indent=-1) + b"\n"
    told = {"option": vote.option, "id": vote.id, "poll": vote.poll, "weight": vote.weight}
    return _encode({name: value for name, value in told.items() if value is not None}) + b"\n"


def _parts(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and size + len(line) > LETTER_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    yield part
