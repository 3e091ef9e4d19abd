"""What a node knows of one client: who it is, how it wants to be answered, and the transaction that it is in."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

from quorate.doors import reading
from quorate.doors.reading import Consistency
from quorate.errors import Invalid, TooLarge
from quorate.resp.alike import Form, may_have_form
from quorate.resp.door import Door
from quorate.resp.parsing import ARGUMENT_COST, Command
from quorate.resp.subscribing import TallySubscription
from quorate.resp.votes import AddedVote
from quorate.security.caller import Caller
from quorate.security.roles import RouteRole
from quorate.words import Level

T = TypeVar("T")
QUEUED_MAX, QUEUED_BYTES_MAX = 10_000, 8 * 1024 * 1024  # of a transaction: commands, and what they take in memory
NAME_BYTES_MAX = 64


class Session:
    """Of one connection."""

    made: ClassVar[int] = 0  # in this process

    def __init__(self, door: Door, subscription: TallySubscription) -> None:
        self.door, self.subscription = door, subscription
        self.address = ""  # the host that the connection comes from; "" where that is not known
        Session.made += 1
        self.number = Session.made  # CLIENT ID
        self.protocol = 2
        self.name = ""
        self.level: Level = "weak"
        self.credentials: bytes | None = None
        self.in_cluster = False  # it has asked which nodes there are, so it can be sent to another one
        self.queued: list[Command] | None = None  # of a transaction
        self.queued_bytes = 0  # that these take in memory, about; also while they are run
        self.is_spoilt = False  # the transaction has a command that makes no sense
        self.closes = False  # when its replies are sent
        self.form: Form | None = None  # of the vote that was parsed last, which the next ones may have too
        self._unlike = 0  # votes that were parsed since a form was of use

    def admit(self, role: RouteRole) -> Caller:
        """Raises `Unauthorized`, `Forbidden` or `OverRate`."""
        return self.door.access.admit(role, self.address, self.credentials)

    @property
    def only_subscribes(self) -> bool:
        """A client of RESP2 could not tell messages from replies."""
        return self.protocol == 2 and bool(self.subscription.polls)

    async def read(self, caller: Caller, level: Level, read: Coroutine[Any, Any, T]) -> T:
        """The result of a read within the bounds of all reads."""
        door = self.door
        return await reading.within(door.replica, door.read_places, caller, Consistency(level), read)

    def learn(self, command: Command, vote: AddedVote, hash_key: bytes) -> None:
        """Keep the form of a vote. Where forms are of no use it is done more and more seldom."""
        if not may_have_form(command):
            return
        form, tails = self.form, self.door.tails
        if form is not None and form.is_of(command):
            tails.learn(command, vote)
            return
        self._unlike = 1 if form is None or form.taken else self._unlike + 1
        if self._unlike & (self._unlike - 1) == 0:
            tails.learn(command, vote)
            self.form = Form(command, vote, hash_key, tails)

    # ---- transactions -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        if self.queued is not None:
            raise Invalid("MULTI calls can not be nested")
        self.queued, self.queued_bytes, self.is_spoilt = [], 0, False

    def queue(self, command: Command) -> None:
        assert self.queued is not None
        cost = ARGUMENT_COST * (len(command) + 1) + sum(map(len, command))
        if len(self.queued) >= QUEUED_MAX or self.queued_bytes + cost > QUEUED_BYTES_MAX:
            self.is_spoilt = True
            raise TooLarge(f"a transaction has at most {QUEUED_MAX:,} commands, which take {QUEUED_BYTES_MAX:,} bytes")
        self.queued.append(command)
        self.queued_bytes += cost

    def end(self) -> list[Command]:
        """The commands of the transaction, which is over."""
        queued, self.queued = self.queued, None
        return queued or []

    def reset(self) -> None:
        """As a new connection, but for its number."""
        self.protocol, self.name, self.level, self.credentials = 2, "", "weak", None
        self.in_cluster, self.queued, self.queued_bytes = False, None, 0
        self.subscription.close()
