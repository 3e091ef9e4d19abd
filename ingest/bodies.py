"""From the body of a queue's message to votes.

A body is an option as plain text, a vote in JSON, an array of votes in JSON, or a vote in JSON on each line (NDJSON). A
body that begins with { or [ is read as JSON, so an option that begins with one of them must be sent in JSON. If a body
cannot be read, or has no valid vote, that is an error of the whole message.
"""

from __future__ import annotations

import msgspec

from quorate.errors import Invalid, QuorateError, TooLarge
from quorate.vote import REQUEST_BYTES_MAX, Vote
from quorate.vote_json import DecodedVotes, option, read_array, read_lines, read_one, unreadable


def read_body(body: bytes) -> DecodedVotes:
    """Raises `Invalid` or `TooLarge` if no vote of the message can be used."""
    if len(body) > REQUEST_BYTES_MAX:
        raise TooLarge(f"the message has {len(body):,} bytes; the limit is {REQUEST_BYTES_MAX:,}")
    first = body[:1] if body[:1] in (b"{", b"[") else body.lstrip()[:1]
    try:
        if first == b"{":
            return _read_objects(body)
        if first == b"[":
            return _with_votes(read_array(body, "message"))
        return DecodedVotes([Vote(option(body.rstrip(b"\r\n").decode()))])
    except (UnicodeDecodeError, RecursionError) as error:
        raise Invalid(unreadable(error, "message")) from None
    except msgspec.DecodeError as error:
        raise Invalid(f"the message is no vote in JSON: {error}") from None


def _read_objects(body: bytes) -> DecodedVotes:
    try:
        return DecodedVotes([read_one(body)])
    except (msgspec.DecodeError, QuorateError):  # it is one invalid vote, or several votes
        return _with_votes(read_lines(body, "message"))


def _with_votes(decoded: DecodedVotes) -> DecodedVotes:
    """Raises the first vote's error if all votes are invalid."""
    if not decoded.votes:
        first = decoded.refused[0]
        raise TooLarge(first.detail) if first.reason == "too_large" else Invalid(first.detail)
    return decoded
