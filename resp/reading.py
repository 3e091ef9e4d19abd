"""The commands that read tallies. A poll is a hash of its options there: HGETALL gives the votes of each."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from quorate.cluster.read.reads import Results
from quorate.cluster.read.shared_results import ResultsForm, SharedResults
from quorate.doors.bounds import check_poll
from quorate.errors import Deleted, Invalid, UnknownPoll
from quorate.resp.encoding import Raw, Simple, Value, bulk
from quorate.resp.keys import key_of, pattern_of, read_key, text_of
from quorate.resp.parsing import Command
from quorate.resp.session import Session
from quorate.security.caller import Caller
from quorate.vote import normal_form
from quorate.words import Level

SCANNED, SCANNED_MAX = 10, 10_000  # keys of one SCAN, if it does not say; and at most
KEYS_AT_ONCE = 50  # that are compared with a pattern before others have their turn: some patterns take long
KNOWN_S = 2.0  # how long a node that has just started is waited for
SCAN_OPTIONS_MAX = 3
SCAN_FORM = "syntax error: SCAN cursor [MATCH pattern] [COUNT n] [TYPE hash]"
CURSOR_DIGITS = 19

T = TypeVar("T")


async def hgetall(session: Session, caller: Caller, command: Command) -> Value:
    return await _hash(session, caller, command, PAIRS_3 if session.protocol == 3 else PAIRS_2)


async def hget(session: Session, caller: Caller, command: Command) -> Value:
    (found,) = await _some(session, caller, command)
    return found


async def hmget(session: Session, caller: Caller, command: Command) -> Value:
    return await _some(session, caller, command)


async def hexists(session: Session, caller: Caller, command: Command) -> Value:
    (found,) = await _some(session, caller, command)
    return int(found is not None)


async def hlen(session: Session, caller: Caller, command: Command) -> Value:
    results = await _results(session, caller, command[1])
    return 0 if results is None else len(results.results)


async def hkeys(session: Session, caller: Caller, command: Command) -> Value:
    return await _hash(session, caller, command, NAMES)


async def hvals(session: Session, caller: Caller, command: Command) -> Value:
    return await _hash(session, caller, command, VOTES)


async def xlen(session: Session, caller: Caller, command: Command) -> Value:
    results = await _results(session, caller, command[1])
    return 0 if results is None else results.total


async def exists(session: Session, caller: Caller, command: Command) -> Value:
    """Of many keys in one round to the leader, or to a majority if one of them asks for that."""

    def take(key: bytes) -> tuple[str | None, bool]:
        poll_id, linearizable = read_key(key)
        if poll_id is not None:
            check_poll(caller, poll_id)
        return poll_id, linearizable

    named = [take(key) for key in command[1:]]
    polls = [poll_id for poll_id, _ in named if poll_id is not None]
    if not polls:
        return 0
    level: Level = "linearizable" if any(linearizable for _, linearizable in named) else session.level
    there = await session.read(caller, level, session.door.reads.existing({*polls}, level=level))
    return sum(poll_id in there for poll_id in polls)


async def type_of(session: Session, caller: Caller, command: Command) -> Value:
    return Simple("hash" if await exists(session, caller, command) else "none")


async def keys(session: Session, caller: Caller, command: Command) -> Value:
    pattern = pattern_of(command[1])
    return await _keys_of(await _seen(session, caller), pattern)


async def dbsize(session: Session, caller: Caller, command: Command) -> Value:
    return len(await _seen(session, caller))


async def scan(session: Session, caller: Caller, command: Command) -> Value:
    """The cursor is the number of the creation of the last poll that was looked at: later polls have higher ones."""
    cursor = _number(command[1], "cursor")
    pattern, count, of_type = pattern_of(b"*"), SCANNED, b"hash"
    options = command[2:]
    if len(options) % 2 or len(options) > 2 * SCAN_OPTIONS_MAX:
        raise Invalid(SCAN_FORM)
    for word, value in zip(options[::2], options[1::2], strict=True):
        match word.upper():
            case b"MATCH":
                pattern = pattern_of(value)
            case b"COUNT":
                count = min(SCANNED_MAX, _number(value, "COUNT"))
            case b"TYPE":
                of_type = value
            case _:
                raise Invalid(SCAN_FORM)
    if not count:
        raise Invalid(SCAN_FORM)
    polls = await _seen(session, caller)
    left = [poll for poll in polls if poll[1] > cursor]
    some = left[:count]
    after = some[-1][1] if len(left) > count else 0
    if not cursor:  # polls of before creations were numbered
        some = [poll for poll in polls if not poll[1]] + some
    return [str(after), await _keys_of(some if of_type.lower() == b"hash" else [], pattern)]


async def _hash(session: Session, caller: Caller, command: Command, form: ResultsForm) -> Value:
    """All options of a poll, in one of the forms below; none where there is no such poll.

    All readers of a tally that this node has read itself share its bytes.
    """
    results = await _results(session, caller, command[1])
    shared = SharedResults.of({} if results is None else results.results)
    return Raw(await shared.form(form, session.door.turns))


def _array(of_each: int) -> Callable[[int], bytes]:
    return lambda count: b"*%d\r\n" % (of_each * count)


def _map(count: int) -> bytes:
    return b"%%%d\r\n" % count


def _pairs(names: Sequence[str], votes: Sequence[int]) -> bytes:
    """Redis gives numbers as texts."""
    return b"".join([_bulk(name) + _bulk(str(count)) for name, count in zip(names, votes, strict=True)])


def _names(names: Sequence[str], votes: Sequence[int]) -> bytes:
    return b"".join(map(_bulk, names))


def _votes(names: Sequence[str], votes: Sequence[int]) -> bytes:
    return b"".join(map(_bulk, map(str, votes)))


PAIRS_2, PAIRS_3 = ResultsForm(_array(2), _pairs), ResultsForm(_map, _pairs)
NAMES, VOTES = ResultsForm(_array(1), _names), ResultsForm(_array(1), _votes)


def _bulk(text: str) -> bytes:
    return bulk(text.encode())


async def _results(session: Session, caller: Caller, key: bytes) -> Results | None:
    """None: there is no such poll."""
    return await _read(session, caller, key, session.door.reads.results)


async def _read(session: Session, caller: Caller, key: bytes, read: Callable[..., Coroutine[Any, Any, T]]) -> T | None:
    """What `read` gives of the poll that the key names. None: there is no such poll."""
    poll_id, linearizable = read_key(key)
    if poll_id is None:
        return None
    check_poll(caller, poll_id)
    level: Level = "linearizable" if linearizable else session.level
    try:
        return await session.read(caller, level, read(poll_id, level=level))
    except (UnknownPoll, Deleted):
        return None


async def _some(session: Session, caller: Caller, command: Command) -> list[Value]:
    """The votes of some options of a poll; None for those that it has not. The others are not read."""
    names = [normal_form(text_of(name, "option")) for name in command[2:]]

    def read(poll_id: str, *, level: Level) -> Coroutine[Any, Any, list[int | None]]:
        return session.door.reads.votes_of(poll_id, names, level=level)

    found = await _read(session, caller, command[1], read)
    return [None if votes is None else str(votes) for votes in found or [None] * len(names)]


async def _seen(session: Session, caller: Caller) -> list[tuple[str, int]]:
    """The polls that the caller may see, oldest first, as this node knows them. Raises `NotReady` until it does."""
    door = session.door
    await door.reads.wait_until_known(0, KNOWN_S)
    return [poll for poll in door.replica.state.poll_keys() if caller.may_see(poll[0])]


async def _keys_of(polls: list[tuple[str, int]], pattern: re.Pattern[str]) -> list[Value]:
    """The keys of those that fit."""
    found: list[Value] = []
    for number, (poll_id, _) in enumerate(polls, 1):
        if pattern.fullmatch("poll:" + poll_id):
            found.append(key_of(poll_id))
        if not number % KEYS_AT_ONCE:
            await asyncio.sleep(0)
    return found


def _number(text: bytes, what: str) -> int:
    if not text.isdigit() or len(text) > CURSOR_DIGITS:
        raise Invalid("invalid cursor" if what == "cursor" else f"{what} is no whole number")
    return int(text)
