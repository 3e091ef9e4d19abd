"""Runs the commands of one connection, one after the other, and puts their replies in order.

While a command waits for its outcome, those behind it wait too. Votes that stand next to each other are cast together:
whatever a client sends in one go is one round to the majority.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

from quorate.doors.by_hand import ByHand
from quorate.doors.rates import take_votes
from quorate.doors.unsent import BIG_BYTES
from quorate.errors import Overloaded, QuorateError
from quorate.resp.alike import AlikeVotes
from quorate.resp.commands import BY_BYTES, XADD
from quorate.resp.encoding import QUEUED, Failure, Raw, Value, encode, failure
from quorate.resp.failures import failure_of
from quorate.resp.gathered import GatheredVotes
from quorate.resp.info import slot_of
from quorate.resp.parsing import Command
from quorate.resp.session import QUEUED_MAX, Session
from quorate.resp.table import Spec
from quorate.security.caller import Caller
from quorate.vote import Outcome

VOTES_AT_ONCE = 500  # of those that stand next to each other, outside a transaction
VOTES_A_TURN = 250  # of a transaction with more than that: a millisecond
# What some work takes, about, that is not seen where it is charged.
WAITING_S = 50e-6  # a command that waits for its answer
WORD_S = 2e-6  # each of its words
BYTE_S = 0.5e-9  # each of a long reply, to be written
REFUSED_S = 20e-6  # a vote that is refused: four times what it takes, because it brings nothing
REFUSED = [outcome for outcome in Outcome if outcome > Outcome.DUPLICATE]
VOTE = XADD.encode()
XADD_SPEC = BY_BYTES[VOTE]
SUBSCRIBED = (b"SUBSCRIBE", b"UNSUBSCRIBE", b"PING", b"QUIT", b"RESET")
ONLY_SUBSCRIBED = "only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
NEVER_QUEUED = frozenset((b"MULTI", b"DISCARD", b"WATCH", b"RESET", b"QUIT"))  # are run at once in a transaction too
NO_SUCH = "unknown command {}; COMMAND LIST tells those that this node has"

log = logging.getLogger(__name__)


class Runner:
    """`has_room` says whether a big reply may be written, `go_on` is called when a command that waited is over."""

    def __init__(self, session: Session, has_room: Callable[[int], bool], go_on: Callable[[], None]) -> None:
        self.session, self.door = session, session.door
        self._has_room, self._go_on = has_room, go_on
        self.commands: deque[Command | AlikeVotes] = deque()
        self.replies: list[bytes] = []
        self.reply_bytes = 0  # of these, but for votes and other short ones
        self.working: ByHand | asyncio.Task[None] | None = None  # the command that waits for its outcome
        self._gathered: GatheredVotes  # that are cast now
        self.is_in_vain = False  # most of the votes that were cast last were refused
        self._in_exec = 0  # commands of a transaction that are still to be run

    @property
    def is_in_array(self) -> bool:
        """The reply to an EXEC has begun, and may not be complete."""
        return self._in_exec > 0 or self.working is not None

    @property
    def has_votes(self) -> bool:
        """Whether votes are next, which need not stand in line."""
        if not self.commands or self.session.queued is not None or self.is_in_vain:
            return False
        command = self.commands[0]
        return type(command) is AlikeVotes or command[0].upper() == VOTE

    @property
    def is_special(self) -> bool:
        """Each command is looked at by itself now."""
        session = self.session
        if session.queued is not None or session.in_cluster:
            return True
        return bool(session.subscription.polls) and session.only_subscribes

    def left(self) -> None:
        """The client is gone."""
        self.commands.clear()
        if isinstance(self.working, asyncio.Task):
            self.working.cancel()  # a read; votes go on, they may be on their way

    def cut(self) -> None:
        """Give up what waits."""
        if isinstance(self.working, ByHand):
            self.working.cut()

    def next(self) -> None:
        command = self.commands[0]
        if type(command) is AlikeVotes:
            if not self.is_special:
                self._votes()
                return
            self.commands.popleft()
            apart = command.commands()
            self.commands.extendleft(reversed(apart))
            command = apart[0]
        name = command[0].upper()
        if name == VOTE and not self.is_special:
            self._votes()
            return
        began_s = time.perf_counter()
        self._one(name, command)
        self.door.line.charge(time.perf_counter() - began_s)

    def _one(self, name: bytes, command: Command) -> None:
        """One that is no vote, or is looked at by itself."""
        if self.session.queued is not None:
            self.commands.popleft()
            self._in_transaction(name, command)
        elif self.session.only_subscribes and name not in SUBSCRIBED:
            self.commands.popleft()
            self._reply(Failure("ERR", f"Can't execute {_name_of(command)!r}: {ONLY_SUBSCRIBED}"))
        elif self.session.in_cluster and (moved := self._moved(name, command)) is not None:
            self.commands.popleft()
            self._in_exec = max(0, self._in_exec - 1)
            self._reply(moved)
        elif name == VOTE:
            self._votes()
        else:
            self.commands.popleft()
            self._in_exec = max(0, self._in_exec - 1)
            self._command(name, command)

    def _command(self, name: bytes, command: Command) -> None:
        spec = BY_BYTES.get(name)
        if spec is None or not spec.takes(command):
            self._reply(_no_such(command))
            return
        self.door.counts.commands[spec.name] += 1
        try:
            answer = spec.run(self.session, self.session.admit(spec.role), command)
        except QuorateError as error:
            self._fail(error)
            return
        except Exception:
            self._fail_inside()
            return
        if asyncio.iscoroutine(answer):
            self.door.line.charge(WAITING_S + WORD_S * len(command))
            self.working = asyncio.get_running_loop().create_task(self._wait_for(answer, spec))
        else:
            self._reply(cast(Value, answer))

    def _moved(self, name: bytes, command: Command) -> Failure | None:
        """Where a cluster client had better ask; None: here, which works at each node."""
        spec = BY_BYTES.get(name)
        if spec is None or not spec.first_key or not spec.takes(command) or self.door.replica.is_leader:
            return None
        if spec.role == "read" and self.session.level == "none":
            return None
        address = self.door.leader_address()
        return None if address is None else Failure("MOVED", f"{slot_of(command[spec.first_key])} {address}")

    async def _wait_for(self, answer: Coroutine[Any, Any, Value], spec: Spec) -> None:
        try:
            value = await answer
            if isinstance(value, Raw) and len(value.data) > BIG_BYTES:
                await self.door.line.turn(BYTE_S * len(value.data))
            self._reply(value)
        except QuorateError as error:
            self._fail(error)
        except Exception as error:
            if spec.role == "vote":
                self._close_without_answer(error)  # it may have been counted
            else:
                self._fail_inside()
        self.working = None
        self._go_on()

    # ---- transactions -----------------------------------------------------------------------------------------------

    def _in_transaction(self, name: bytes, command: Command) -> None:
        session, spec = self.session, BY_BYTES.get(name)
        if spec is None or not spec.takes(command):
            session.is_spoilt = True
            self._reply(_no_such(command))
        elif name == b"EXEC":
            self._exec()
        elif name in NEVER_QUEUED:
            self._command(name, command)
        elif not spec.in_transaction:
            session.is_spoilt = True
            self._reply(Failure("ERR", f"{spec.name} is not allowed in transactions"))
        else:
            try:
                session.queue(command)
                self.replies.append(QUEUED)
            except QuorateError as error:
                self._fail(error)

    def _exec(self) -> None:
        """The replies of the queued commands, one after the other, are the array that answers EXEC."""
        is_spoilt, queued = self.session.is_spoilt, self.session.end()
        if is_spoilt:
            self._reply(Failure("EXECABORT", "Transaction discarded because of previous errors."))
            return
        self.replies.append(b"*%d\r\n" % len(queued))
        self._in_exec = len(queued)
        self.commands.extendleft(reversed(queued))

    # ---- votes ------------------------------------------------------------------------------------------------------

    def cast_alike(self, votes: AlikeVotes) -> None:
        """Cast votes that nothing stands before or behind."""
        self._cast_items([votes], len(votes.said))

    def _votes(self) -> None:
        """Cast the votes that stand next to each other."""
        items, count = self._next_votes()
        self._in_exec = max(0, self._in_exec - count)
        self._cast_items(items, count)

    def _cast_items(self, items: list[Command | AlikeVotes], count: int) -> None:
        self.door.counts.commands[XADD] += count
        session, door = self.session, self.door
        try:
            caller, hash_key = session.admit(XADD_SPEC.role), door.submitter.hash_key
        except QuorateError as error:
            self._refuse_votes(error, count)
            return
        gathered = GatheredVotes(caller, hash_key, self._failure, allow_unkeyed=door.allow_unkeyed)
        if count > VOTES_AT_ONCE:
            self.working = asyncio.get_running_loop().create_task(self._cast_many(items, gathered, caller, count))
            return
        for item in items:
            gathered.add_alike(item) if type(item) is AlikeVotes else gathered.add(item)
        self._cast(gathered, caller, count)
        if gathered.last is not None:
            session.learn(*gathered.last, hash_key)

    async def _cast_many(
        self, items: list[Command | AlikeVotes], gathered: GatheredVotes, caller: Caller, count: int
    ) -> None:
        """Those of a big transaction. One at a time is parsed, in turns of the loop.

        If its client leaves meanwhile, none are cast.
        """
        await self.door.parsing.acquire(self.session.address)
        try:
            for start in range(0, len(items), VOTES_A_TURN):
                for item in items[start : start + VOTES_A_TURN]:
                    gathered.add_alike(item) if type(item) is AlikeVotes else gathered.add(item)
                await asyncio.sleep(0)
        finally:
            self.door.parsing.release()
        self.working = None
        self._cast(gathered, caller, count)
        if self.working is None:
            self._go_on()

    def _cast(self, gathered: GatheredVotes, caller: Caller, count: int) -> None:
        try:
            take_votes(caller, count)
        except QuorateError as error:
            self._refuse_votes(error, count)
            return
        if gathered.votes.keys:
            self._gathered = gathered
            self.working = self.door.castings.cast(self, gathered.votes, caller.share)
        else:
            self.replies.append(gathered.refused(b""))
            self._note_refused(count, count)

    def _refuse_votes(self, error: QuorateError, count: int) -> None:
        self.replies.append(self._failure(error) * count)
        self._note_refused(count, count)

    def _next_votes(self) -> tuple[list[Command | AlikeVotes], int]:
        """Those that are cast together, and how many they are."""
        at_most = min(self._in_exec, QUEUED_MAX) or VOTES_AT_ONCE
        items: list[Command | AlikeVotes] = []
        count = 0
        while self.commands:
            item = self.commands[0]
            more = len(item) if type(item) is AlikeVotes else 1 if item[0].upper() == VOTE else 0
            if not more or (items and count + more > at_most):
                break
            items.append(self.commands.popleft())
            count += more
        return items, count

    def all_counted(self, version: int) -> None:
        self.working, self.is_in_vain = None, False
        self.door.counts.votes["applied"] += len(self._gathered.votes.keys)
        self.replies.append(self._gathered.all_counted(version))
        self._go_on()

    def decided(self, version: int, outcomes: bytes) -> None:
        self.working = None
        self.door.counts.note(outcomes)
        self._note_refused(sum(map(outcomes.count, REFUSED)), len(outcomes))
        self.replies.append(self._gathered.decided(version, outcomes))
        self._go_on()

    def _note_refused(self, refused: int, count: int) -> None:
        self.is_in_vain = 2 * refused > count
        self.door.line.charge(REFUSED_S * refused)

    def not_counted(self, error: BaseException) -> None:
        """None of the votes was counted, or it is not known."""
        self.working = None
        if isinstance(error, QuorateError) and error.definite:
            self.replies.append(self._gathered.refused(self._failure(error)))
            self._go_on()
        else:
            self._close_without_answer(error)

    # ---- replies ----------------------------------------------------------------------------------------------------

    def _reply(self, value: Value) -> None:
        if isinstance(value, Failure):
            self.door.counts.failures[value.code] += 1
        data = encode(value, self.session.protocol)
        if len(data) > BIG_BYTES and not self._has_room(len(data)):
            data = self._failure(Overloaded("too many replies wait to be read at this node; try again in a moment"))
        self.reply_bytes += len(data)
        self.replies.append(data)

    def _fail(self, error: QuorateError) -> None:
        if error.definite:
            self.replies.append(self._failure(error))
        else:
            self._close_without_answer(error)

    def _fail_inside(self) -> None:
        log.exception("a command failed")
        self._reply(Failure("ERR", "something failed inside this node; its log says what"))

    def _failure(self, error: QuorateError) -> bytes:
        told = failure_of(error)
        self.door.counts.failures[told.code] += 1
        return failure(told.code, told.text)

    def _close_without_answer(self, error: BaseException) -> None:
        """The outcome is not known. The client tries again, and counts once by its id."""
        if not isinstance(error, QuorateError):
            log.error("votes failed", exc_info=error)
        self.door.counts.unknown_outcomes += 1
        self.session.closes = True
        self._go_on()


def _name_of(command: Command) -> str:
    return command[0][:64].decode("utf-8", "replace")


def _no_such(command: Command) -> Failure:
    name = _name_of(command)
    if command[0].upper() in BY_BYTES:
        return Failure("ERR", f"wrong number of arguments for '{name.lower()}' command")
    return Failure("ERR", NO_SUCH.format(repr(name)))
