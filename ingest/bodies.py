"""From the body of a queue's message to votes.

A body is one of: an option as plain text, a vote in JSON, a JSON array of votes, or one vote a line (NDJSON). What
begins with { or [ is JSON; an option that does so itself must be sent in JSON. A body that cannot be read, or that has
no vote that may count, is an error of the whole message.
"""

from __future__ import annotations

import msgspec

from quorate.errors import Invalid, QuorateError, TooLarge
from quorate.vote import REQUEST_BYTES_MAX, Vote
from quorate.vote_json import DecodedVotes, option, read_array, read_lines, read_one, unreadable


def read_body(body: bytes) -> DecodedVotes:
    """Raises `Invalid` or `TooLarge` when the whole message is of no use."""
    if len(body) > REQUEST_BYTES_MAX:
        raise TooLarge(f"the message has {len(body):,} bytes; the limit is {REQUEST_BYTES_MAX:,}")
    first = body[:1] if body[:1] in (b"{", b"[") else body.lstrip()[:1]
    try:
        if first == b"{":
            return _objects(body)
        if first == b"[":
            return _useful(read_array(body, "message"))
        return DecodedVotes([Vote(option(body.rstrip(b"\r\n").decode()))])
    except (UnicodeDecodeError, RecursionError) as error:
        raise Invalid(unreadable(error, "message")) from None
    except msgspec.DecodeError as error:
        raise Invalid(f"the message is no vote in JSON: {error}") from None


def _objects(body: bytes) -> DecodedVotes:
    try:
        return DecodedVotes([read_one(body)])
    except (msgspec.DecodeError, QuorateError):  # one vote with something wrong in it, or several votes
        return _useful(read_lines(body, "message"))


def _useful(decoded: DecodedVotes) -> DecodedVotes:
    """If no vote in it is good, the message as a whole is none."""
    if not decoded.votes:
        first = decoded.refused[0]
        raise TooLarge(first.detail) if first.reason == "too_large" else Invalid(first.detail)
    return decoded
