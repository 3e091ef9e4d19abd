"""What a follower may forward to the leader: votes, polls and producers, and nothing that brings a state of its own.

The leader passes a section on into an entry without decoding it. So a follower could have it write what only the leader
or an operator may: polls that begin with results (only imports from sinks do, and these are the leader's), a cluster's
settings, or more votes at once than any request has, which would bring the totals to their bound for ever. Here the
leader reads the tags of the commands, and the numbers that could do that. Texts and ids are passed over unread.

Nor may a section hold more than nodes ever put into one: all nodes apply an entry at once, and an entry that is short
in bytes can take them seconds.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from quorate.cluster.entry import ID_HASH_BYTES
from quorate.errors import Invalid, NotReady
from quorate.unreadable import UNREADABLE
from quorate.vote import ENTRY_BYTES_MAX

VOTES_MAX = ENTRY_BYTES_MAX // 32  # more votes than an entry's bytes could bring one by one

ITEMS_MAX = 100_000  # commands, choices, ids and sums; a batch of 1 MiB has 65,536 at the most
OPTIONS_MAX = 300_000  # of polls; they cost less

Sums = list[tuple[int, Annotated[int, msgspec.Meta(ge=0, le=VOTES_MAX)]]]
_NOTHING = msgspec.Raw(b"")


class _CastVotes(msgspec.Struct, array_like=True, tag=1):
    choices: msgspec.Raw
    ids: msgspec.Raw = _NOTHING
    picks: msgspec.Raw = _NOTHING
    sums: Sums = []


class _CastOnce(msgspec.Struct, array_like=True, tag=2):
    key: msgspec.Raw
    fingerprint: msgspec.Raw
    choices: msgspec.Raw
    sums: Sums


class _CastSession(msgspec.Struct, array_like=True, tag=4):
    producer: msgspec.Raw
    epoch: msgspec.Raw
    sequence: msgspec.Raw
    fingerprint: msgspec.Raw
    choices: msgspec.Raw
    sums: Sums


class _CreatePoll(msgspec.Struct, array_like=True, tag=5):
    id: msgspec.Raw
    title: msgspec.Raw
    options: msgspec.Raw
    state: msgspec.Raw
    closes_at_ms: msgspec.Raw
    write_ins: msgspec.Raw
    initial_results: list[int] = []
    imported: bool = False


class _OpensProducer(msgspec.Struct, array_like=True, tag=3):
    pass


class _SetPollState(msgspec.Struct, array_like=True, tag=6):
    pass


class _SetDedupWindow(msgspec.Struct, array_like=True, tag=8):
    pass


class _RaiseGeneration(msgspec.Struct, array_like=True, tag=9):
    pass


class _ChangePoll(msgspec.Struct, array_like=True, tag=10):
    id: msgspec.Raw
    title: msgspec.Raw
    options: msgspec.Raw


class _DeletePoll(msgspec.Struct, array_like=True, tag=11):
    pass


class _Seen(msgspec.Struct, array_like=True, tag=13):
    pass


class _InShare(msgspec.Struct, array_like=True, tag=16):
    pass


class _ForgetProducer(msgspec.Struct, array_like=True, tag=14):
    pass


class _RenewProducer(msgspec.Struct, array_like=True, tag=15):
    pass


_Operators = _SetDedupWindow | _RaiseGeneration
_Votes = _CastVotes | _CastOnce | _CastSession
_Options = _CreatePoll | _ChangePoll
_decode = msgspec.msgpack.Decoder(
    list[
        _Votes
        | _Options
        | _OpensProducer
        | _SetPollState
        | _Operators
        | _DeletePoll
        | _Seen
        | _ForgetProducer
        | _RenewProducer
        | _InShare
    ]
).decode


def check(section: bytes, level: int) -> None:
    """Raises `Invalid` if no follower may forward this, or `NotReady`: below level 1 followers forward what operators
    ask, too, and one may not know yet that the level has risen."""
    if _length(section) > ITEMS_MAX:
        raise Invalid(f"it holds over {ITEMS_MAX:,} commands")
    try:
        commands = _decode(section)
    except UNREADABLE as error:
        raise Invalid(f"it holds what followers do not forward, or numbers that no request has ({error})") from None
    items, options, plain = len(commands), 0, 0
    for command in commands:
        if isinstance(command, _Votes):
            items += _length(command.choices) + len(command.sums)
            plain += sum(votes for _, votes in command.sums)
        if isinstance(command, _CastVotes):
            items += _length(command.ids) // ID_HASH_BYTES
        elif isinstance(command, _Options):
            options += _length(command.options)
        if isinstance(command, _CreatePoll) and (command.initial_results or command.imported):
            raise Invalid("it holds a poll that begins with results, and only the leader imports polls")
        if level and isinstance(command, _Operators):
            raise NotReady("it holds what operators ask, which travels as a call of its own now; try again")
    if plain > VOTES_MAX:
        raise Invalid(f"it holds over {VOTES_MAX:,} votes without ids")
    if items > ITEMS_MAX or options > OPTIONS_MAX:
        raise Invalid(f"it holds over {ITEMS_MAX:,} choices, ids and commands, or over {OPTIONS_MAX:,} options")


def _length(of: bytes | msgspec.Raw) -> int:
    """How many items a MessagePack array says that it has, or how many bytes; 0 if it is neither array nor bytes."""
    data = memoryview(of)[:5]
    kind = data[0] if data else 0
    if kind & 0xF0 == 0x90:
        return kind & 0x0F
    size = {0xDC: 2, 0xDD: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4}.get(kind, 0)
    return int.from_bytes(data[1 : 1 + size], "big")
