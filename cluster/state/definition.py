"""What a poll's definition may be: the rules that creating a poll and changing one share.

Proposers check the same before, and say it in better words. Here it keeps the state machine right whatever is proposed.
Each check returns the refusal, or None.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from quorate.cluster.entry import CreatePoll, PollResult
from quorate.vote import (
    ID_BYTES_MAX,
    OPTION_BYTES_MAX,
    OPTION_TEXT_PER_POLL_BYTES_MAX,
    OPTIONS_PER_POLL_MAX,
    TITLE_BYTES_MAX,
)

_encode = msgspec.msgpack.Encoder().encode


def definition_of(command: CreatePoll) -> bytes:
    """A hash of what must be equal if a `CreatePoll` is to be taken for the same one again."""
    data = _encode(
        (
            command.title,
            command.options,
            command.state,
            command.closes_at_ms,
            command.write_ins,
            command.initial_results if any(command.initial_results) else [],
        )
    )
    return hashlib.blake2b(data, digest_size=16).digest()


def check_new(command: CreatePoll) -> PollResult | None:
    """Whether a poll could be created so, if there is room for it."""
    return check_shape(command) or _check_id(command.id) or check_title(command.title) or check_sizes(command.options)


def check_shape(command: CreatePoll) -> PollResult | None:
    options = command.options
    if not command.id or "\0" in command.id:
        return PollResult("invalid", detail="a poll's id is not empty and has no NUL")
    if len(options) < 2 and not command.write_ins:
        return PollResult("invalid", detail="a poll needs at least two options, or write-ins")
    if command.state == "archived":
        return PollResult("invalid", detail="a poll starts as draft, open or closed")
    if command.initial_results and len(command.initial_results) != len(options):
        return PollResult("invalid", detail="starting results and options differ in number")
    if min(command.initial_results, default=0) < 0:
        return PollResult("invalid", detail="a starting result is negative")
    return check_texts(options)


def check_texts(options: Sequence[str]) -> PollResult | None:
    if "" in options or "\0" in "".join(options):
        return PollResult("invalid", detail="a poll's options are not empty and have no NUL")
    if len(set(options)) != len(options):
        return PollResult("invalid", detail="an option stands there twice")
    return None


def _check_id(id: str) -> PollResult | None:
    if len(id.encode()) > ID_BYTES_MAX:
        return PollResult("too_large", detail=f"a poll's id has at most {ID_BYTES_MAX} bytes")
    return None


def check_title(title: str) -> PollResult | None:
    if len(title.encode()) > TITLE_BYTES_MAX:
        return PollResult("too_large", detail=f"a poll's title has at most {TITLE_BYTES_MAX:,} bytes")
    return None


def check_sizes(options: Sequence[str], beside: Sequence[str] = ()) -> PollResult | None:
    """Whether `options` are short enough, and few enough beside those that the poll has already."""
    if len(options) + len(beside) > OPTIONS_PER_POLL_MAX:
        return PollResult("too_large", detail=f"a poll has at most {OPTIONS_PER_POLL_MAX:,} options")
    if len("".join(options).encode()) + len("".join(beside).encode()) > OPTION_TEXT_PER_POLL_BYTES_MAX:
        return PollResult("too_large", detail=f"a poll's options have at most {OPTION_TEXT_PER_POLL_BYTES_MAX:,} bytes")
    long = (option for option in options if len(option) > OPTION_BYTES_MAX // 4)  # UTF-8: at most 4 bytes a character
    if any(len(option.encode()) > OPTION_BYTES_MAX for option in long):
        return PollResult("too_large", detail=f"an option has at most {OPTION_BYTES_MAX} bytes")
    return None
