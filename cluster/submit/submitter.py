"""From votes to the log: what waits together travels together.

Requests that arrive while earlier ones are under way are gathered into one section, and the leader puts its own section
and those its followers forward into one entry: one disk sync, one round to the followers, however many voters. Nothing
waits for a timer: with nothing under way a vote leaves at once.

A follower forwards in one hop. A section that was forwarded is proposed by its receiver or refused, never forwarded
again. Whatever fails before a section surely left is tried again with the next leader until its deadline; whatever may
have been sent is answered `OutcomeUnknown`. Queues are bounded in bytes: beyond, `Overloaded`, surely not counted.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from quorate.cluster import entry
from quorate.cluster.entry import Choice, Command, PollResult, ProducerResult, Result
from quorate.cluster.fsm import Applied
from quorate.cluster.replica import Replica
from quorate.cluster.submit.batch import Section, Tallied, Ticket, count_choices
from quorate.errors import NoLeader, NotReady, OutcomeUnknown, Overloaded, QuorateError, TooLarge
from quorate.vote import ENTRY_BYTES_MAX, Vote

SECTION_BYTES = 1024 * 1024  # a section this big travels alone; a bigger one only if one request makes it so
VOTE_BYTES = 32  # of one in a section at the most, beside its texts
DEADLINES_APART_S = 1.0  # in a section: all of it is dropped at the earliest
WAITING_BYTES_MAX = 32 * 1024 * 1024
GROUPS_UNDER_WAY = 2  # one being synced, one being gathered by the followers; more only makes groups smaller
SWEEP_S = 0.1
REST_S = 0.02
FORWARDED_S = 5.0  # how long a follower's section may wait here; the follower has its own deadline

log = logging.getLogger(__name__)


class _Answer(msgspec.Struct, array_like=True):
    version: int
    results: list[Result]


_encode_answer = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(_Answer).decode


@dataclass(slots=True, eq=False)
class _Parcel:
    """A section on its way, and whom to tell."""

    section: bytes
    deadline_s: float
    answer: asyncio.Future[_Answer]
    ours: bool = True  # not forwarded to us by a follower
    call: asyncio.Future[bytes] | None = None  # to the leader it was forwarded to


class Submitter:
    """Takes requests on the node's loop and answers each with what became of it."""

    def __init__(self, replica: Replica, *, waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        self._replica = replica
        self._waiting_bytes_max = waiting_bytes_max
        self._gathering: deque[Section] = deque()  # not yet encoded, oldest first
        self._parcels: deque[_Parcel] = deque()  # encoded, waiting for a leader or a free place
        self._sent: dict[int, _Parcel] = {}  # by identity: left, perhaps counted, not yet answered
        self._asked: dict[asyncio.Future[bytes], str] = {}  # forwarded calls that take up a place, and whom they asked
        self._under_way = 0
        self._rest_until_s = 0.0  # after a refusal: a leader that is not one yet is not asked in a tight loop
        self._planned = False
        self._sweeping: asyncio.TimerHandle | None = None
        self._stopped = False
        self.waiting_bytes = 0
        replica.serve("section", self._on_forwarded)
        replica.on_leadership(self._on_leadership)

    # ---- requests ---------------------------------------------------------------------------------------------------

    async def cast(self, votes: Sequence[Vote], *, timeout_s: float) -> Tallied:
        """Count votes that each stand alone; all are decided at one version."""
        hash_key, deadline_s = self._hash_key(), self._deadline(timeout_s)
        section = self._section(_size_of(votes), deadline_s)
        tallied: Tallied = await self._answer(section.add_votes(votes, hash_key, deadline_s))
        return tallied

    async def cast_once(self, key: str, votes: Sequence[Vote], *, timeout_s: float) -> Tallied:
        """Count all of `votes` or none, once, under an idempotency key. Their own ids, if any, are not looked at."""
        choices, sums = count_choices(votes)
        command = entry.CastOnce(
            entry.hash_id(key, self._hash_key()), entry.fingerprint_of_body(sums), choices, _by_index(sums)
        )
        return await self._whole(command, votes, choices, timeout_s)

    async def cast_session(
        self, producer: str, epoch: int, sequence: int, votes: Sequence[Vote], *, timeout_s: float
    ) -> Tallied:
        """Count all of `votes` or none, once, as batch `sequence` of a producer session."""
        choices, sums = count_choices(votes)
        command = entry.CastSession(
            producer, epoch, sequence, entry.fingerprint_of_body(sums), choices, _by_index(sums)
        )
        return await self._whole(command, votes, choices, timeout_s)

    async def open_producer(self, producer: str, *, timeout_s: float) -> ProducerResult:
        result, _ = await self.command(entry.OpenProducer(producer), timeout_s=timeout_s)
        if isinstance(result, ProducerResult):
            return result
        raise TooLarge(getattr(result, "detail", "the session was refused"))  # nor will it fit later

    async def create_poll(self, poll: entry.CreatePoll, *, timeout_s: float) -> tuple[PollResult, int]:
        return await self._poll_command(poll, timeout_s)

    async def set_poll_state(self, poll_id: str, state: entry.State, *, timeout_s: float) -> tuple[PollResult, int]:
        return await self._poll_command(entry.SetPollState(poll_id, state), timeout_s)

    async def command(self, command: Command, *, timeout_s: float) -> tuple[Result, int]:
        """Any command: its result, and the version it was applied at."""
        encoded, deadline_s = entry.encode_command(command), self._deadline(timeout_s)
        section = self._section(len(encoded), deadline_s)
        answer: tuple[Result, int] = await self._answer(section.add_command(encoded, deadline_s))
        return answer

    async def _poll_command(self, command: Command, timeout_s: float) -> tuple[PollResult, int]:
        result, version = await self.command(command, timeout_s=timeout_s)
        if not isinstance(result, PollResult):
            raise QuorateError(f"the cluster answered {type(result).__name__} to a command on a poll; nothing changed")
        return result, version

    async def _whole(
        self,
        command: entry.CastOnce | entry.CastSession,
        votes: Sequence[Vote],
        choices: list[Choice],
        timeout_s: float,
    ) -> Tallied:
        deadline_s = self._deadline(timeout_s)
        section = self._section(_size_of(choices), deadline_s)
        tallied: Tallied = await self._answer(section.add_whole(command, votes, deadline_s))
        return tallied

    # ---- waiting together -------------------------------------------------------------------------------------------

    def _hash_key(self) -> bytes:
        key = self._replica.state.hash_key
        if not key:
            raise NotReady("this node has not joined its cluster yet; try again in a moment, or another node")
        return key

    def _deadline(self, timeout_s: float) -> float:
        return asyncio.get_running_loop().time() + timeout_s

    def _section(self, size: int, deadline_s: float) -> Section:
        """A section that gathers now, with room for `size` more bytes, and patience for about as long.

        The patient and the impatient (HTTP and NSQ, say) may come in turn: so two of them gather at a time.
        """
        if self._stopped:
            raise NotReady("this node is stopping; ask another one")
        if self.waiting_bytes + size > self._waiting_bytes_max:
            raise Overloaded("too many votes wait on this node; try again in a moment, or another node")
        for section in itertools.islice(reversed(self._gathering), 2):
            if section.size + size <= SECTION_BYTES and abs(section.deadline_s - deadline_s) <= DEADLINES_APART_S:
                break
        else:
            section = Section()
            self._gathering.append(section)
        section.size += size
        self.waiting_bytes += size
        return section

    def _answer(self, ticket: Ticket) -> asyncio.Future[Any]:
        self._plan()
        return ticket.answer

    def _on_leadership(self, leads: bool) -> None:
        self._rest_until_s = 0.0
        self._plan()

    def _plan(self) -> None:
        if not self._planned and (self._gathering or self._parcels):
            self._planned = True
            asyncio.get_running_loop().call_soon(self._go)

    def _go(self) -> None:
        """Send what waits, if there is a leader and a free place."""
        self._planned = False
        self._sweep_later()
        leader = self._replica.leader
        if leader != self._replica.node_id:
            self._give_back()
        if asyncio.get_running_loop().time() < self._rest_until_s:
            return
        if leader is None:
            self._rest()
            return
        self._free_places_of_others(leader)
        if leader == self._replica.node_id:
            while self._under_way < GROUPS_UNDER_WAY and (self._gathering or self._parcels):
                self._propose()
        else:
            while self._under_way < GROUPS_UNDER_WAY and (self._gathering or self._parcels):
                self._forward(leader)

    def _give_back(self) -> None:
        """Who forwarded to us finds the next leader; one hop is enough for a section."""
        forwarded = [parcel for parcel in self._parcels if not parcel.ours]
        self._parcels = deque(parcel for parcel in self._parcels if parcel.ours)
        for parcel in forwarded:
            _refuse(parcel, NoLeader(f"{self._replica.node_id} does not lead any more"))

    def _pack(self, section: Section) -> None:
        """Encode a section that gathered and put it among the parcels."""
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: self._settle(section, done))
        self._parcels.append(_Parcel(section.encode(), section.deadline_s, answer))

    def _settle(self, section: Section, done: asyncio.Future[_Answer]) -> None:
        self.waiting_bytes -= section.size
        error = done.exception()
        if error is None:
            answer = done.result()
            section.settle(answer.version, answer.results)
        else:
            section.fail(error)

    # ---- on the leader ----------------------------------------------------------------------------------------------

    def _propose(self) -> None:
        """One entry of what waits here: our own sections and those forwarded, up to the size of an entry."""
        packed = 0
        while self._gathering and (not packed or packed + self._gathering[0].size <= SECTION_BYTES):
            packed += self._gathering[0].size
            self._pack(self._gathering.popleft())
        group = [self._parcels.popleft()]
        size = len(group[0].section)
        while self._parcels and size + len(self._parcels[0].section) <= SECTION_BYTES:
            group.append(self._parcels.popleft())
            size += len(group[-1].section)
        proposal = self._replica.propose(
            entry.encode_entry(self._replica.now_ms(), [parcel.section for parcel in group])
        )
        self._leave(group)
        proposal.add_done_callback(lambda done: self._committed(group, done))

    def _committed(self, group: list[_Parcel], done: asyncio.Future[Applied]) -> None:
        self._arrive(group)
        error = done.exception()
        if error is None:
            applied = done.result()
            for parcel, results in zip(group, applied.results, strict=True):
                _resolve(parcel, _Answer(applied.version, results))
        else:
            self._failed(group, error)
        self._plan()

    async def _on_forwarded(self, peer: str, section: bytes) -> bytes:
        """A follower's section: propose it, or refuse it for sure. It is never forwarded again."""
        if not self._replica.is_leader or self._stopped:
            raise NoLeader(f"{self._replica.node_id} does not lead now")
        if self.waiting_bytes + len(section) > self._waiting_bytes_max or len(section) > ENTRY_BYTES_MAX:
            raise Overloaded(f"too many votes wait on the leader ({self._replica.node_id}); try again in a moment")
        loop = asyncio.get_running_loop()
        parcel = _Parcel(section, loop.time() + FORWARDED_S, loop.create_future(), ours=False)
        self._parcels.append(parcel)
        self.waiting_bytes += len(section)
        self._plan()
        try:
            answer = await parcel.answer
            return bytes(_encode_answer(answer))
        finally:
            self.waiting_bytes -= len(section)

    # ---- on a follower ----------------------------------------------------------------------------------------------

    def _forward(self, leader: str) -> None:
        if self._gathering:
            self._pack(self._gathering.popleft())
        parcel = self._parcels.popleft()
        self._leave([parcel])
        parcel.call = call = asyncio.ensure_future(self._replica.call(leader, "section", parcel.section))
        self._asked[call] = leader
        call.add_done_callback(lambda done: self._forwarded(parcel, done))

    def _free_places_of_others(self, leader: str) -> None:
        """A leader that was replaced may be silent for long, so what it was sent keeps no place. It may as well know
        what became of it, or be about to refuse it for sure: its answer is taken until the parcel's deadline."""
        for call in [call for call, asked in self._asked.items() if asked != leader]:
            del self._asked[call]
            self._under_way -= 1

    def _forwarded(self, parcel: _Parcel, done: asyncio.Future[bytes]) -> None:
        del self._sent[id(parcel)]
        if self._asked.pop(done, None) is not None:
            self._under_way -= 1
        if done.cancelled():  # at its deadline, after its caller was told
            return
        error = done.exception()
        if error is None:
            try:
                _resolve(parcel, _decode_answer(done.result()))
            except (msgspec.DecodeError, UnicodeDecodeError) as garbled:
                error = OutcomeUnknown(f"the leader's answer could not be read ({garbled}); send it again with its id")
        if error is not None:
            self._failed([parcel], error)
        self._plan()

    def _leave(self, group: list[_Parcel]) -> None:
        self._under_way += 1
        self._sent.update((id(parcel), parcel) for parcel in group)

    def _arrive(self, group: list[_Parcel]) -> None:
        self._under_way -= 1
        for parcel in group:
            del self._sent[id(parcel)]

    # ---- when it goes wrong -----------------------------------------------------------------------------------------

    def _failed(self, group: list[_Parcel], error: BaseException) -> None:
        """Try again what surely did not happen because nobody led, or who did stops; tell the others."""
        now_s = asyncio.get_running_loop().time()
        again = isinstance(error, NoLeader | NotReady)
        if again:
            self._rest()
        for parcel in reversed(group):
            if again and now_s < parcel.deadline_s and not parcel.answer.done() and not self._stopped:
                self._parcels.appendleft(parcel)
            else:
                _refuse(parcel, error)

    def _rest(self) -> None:
        """Nobody leads yet: look again in a moment."""
        loop = asyncio.get_running_loop()
        self._rest_until_s = loop.time() + REST_S
        loop.call_later(REST_S, self._plan)

    def _sweep_later(self) -> None:
        if self._sweeping is None and (self._gathering or self._parcels or self._sent) and not self._stopped:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Answer what is past its deadline: surely not counted if it never left, unknown if it did."""
        self._sweeping = None
        now_s = asyncio.get_running_loop().time()
        for section in [section for section in self._gathering if section.deadline_s <= now_s]:
            self._gathering.remove(section)
            self._pack(section)
        late = [parcel for parcel in self._parcels if parcel.deadline_s <= now_s]
        if late:
            self._parcels = deque(parcel for parcel in self._parcels if parcel.deadline_s > now_s)
        for parcel in late:
            _refuse(parcel, self._why_late())
        for parcel in self._sent.values():
            if parcel.deadline_s <= now_s:
                _refuse(parcel, OutcomeUnknown("no answer in time; send it again with the same id"))
                if parcel.call is not None and parcel.call not in self._asked:
                    parcel.call.cancel()  # nobody waits for it any more, not even a place
        self._plan()
        self._sweep_later()

    def _why_late(self) -> QuorateError:
        if self._replica.leader is None:
            return NoLeader("no leader is known: a majority of the nodes must be up and connected. Nothing was counted")
        return Overloaded("the cluster could not take this in time. Nothing was counted; try again")

    def stop(self) -> None:
        """Refuse what waits (surely not counted); what is under way ends with its own answer. Idempotent."""
        self._stopped = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        while self._gathering:
            self._pack(self._gathering.popleft())
        while self._parcels:
            _refuse(self._parcels.popleft(), NotReady("this node is stopping; ask another one"))


def _resolve(parcel: _Parcel, answer: _Answer) -> None:
    if not parcel.answer.done():
        parcel.answer.set_result(answer)


def _refuse(parcel: _Parcel, error: BaseException) -> None:
    if not parcel.answer.done():
        parcel.answer.set_exception(error)


_option_of, _poll_of = attrgetter("option"), attrgetter("poll")


def _by_index(sums: list[tuple[Choice, int]]) -> list[tuple[int, int]]:
    return [(index, votes) for index, (_, votes) in enumerate(sums)]


def _size_of(votes: Sequence[Vote | Choice]) -> int:
    """How many bytes these make in a section at the most: as if each had a choice of its own."""
    option_bytes = len("".join(map(_option_of, votes)).encode())
    poll_bytes = max((len(poll.encode()) for poll in set(map(_poll_of, votes)) if poll is not None), default=0)
    return 64 + len(votes) * (VOTE_BYTES + poll_bytes) + option_bytes
