"""Reading tallies: how new an answer must be, and which node may give it.

A read has one of three levels. `none` is answered from this node's own state, and says how old that can be
(`staleness.py`). `weak` (the default) is answered by the node that believes it leads: a follower forwards it, see
`leader_call.py`. For `linearizable` the leader first confirms with a majority that it still leads, and waits until it
has applied everything that was committed before the read began (Raft §8). Reads that wait together share that round.

A node that has just started does not know yet what the cluster has counted. Until it knows, it lists no polls and never
says that there is no such poll: it waits, and then says `NotReady`.

A list of all polls can be too long to send between nodes, and what is asked about a poll of very many options takes
megabytes. So a follower asks the leader only for its version, applies that, and answers itself: it is the same. A
follower that does not hear the leader gets nothing new to apply, so it has the leader answer.

On every level, `min_version` makes a read wait until the answering node has applied that version. So a client reads its
own writes from any node. The leader is never asked to wait: that would hold a call between nodes for as long as the
client likes. The node that was asked by the client waits until it has the version itself, and asks again then. It also
asks again after a while, since it may lag. The reads that wait so have a bound of their own (`version_waits.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

from quorate.cluster.fsm import PollView
from quorate.cluster.read import chunks
from quorate.cluster.read.big_tallies import BigTallies
from quorate.cluster.read.kept_tallies import KeptTallies
from quorate.cluster.read.shared_question import ASKED_S, SharedQuestion
from quorate.cluster.read.shared_results import SharedResults
from quorate.cluster.read.staleness import Staleness, elapsed_s, version_in
from quorate.cluster.read.version_waits import VersionWaits
from quorate.cluster.replica import Replica
from quorate.cluster.submit.leader_call import LeaderCall
from quorate.cluster.submit.leader_wait import POLL_S
from quorate.errors import Deleted, NotReady, Stale, TooLarge, UnknownPoll
from quorate.turns import Turns, VotesNow
from quorate.vote import ENTRY_BYTES_MAX
from quorate.words import AGE_UNKNOWN_MS, Level

ANSWER_S = 0.5  # how long after the reader's deadline the leader's answer may come
NOT_KNOWN = "this node has just started and has yet to learn from a leader what was counted; ask again, or another node"
CATCH_UP_S = 1.0  # how long a follower may take to apply the leader's version; then it has the leader answer
ASK_AGAIN_S, ASK_AGAIN_MAX_S = 1.0, 8.0  # while a read waits for a version that this node may get late
NOT_AT_ONCE = 0.618  # of each read's pause is moved by another share, so that a thousand do not ask in one moment
NO_VERSION = 2**63 - 1  # no state machine comes to this version: a read that wants it is told the present one
FORWARDED_WAIT_MAX_S = 30.0  # as long as a client may have a read wait

T = TypeVar("T")
Answer = TypeVar("Answer", "Results", "Versioned[Any]")


class Results(msgspec.Struct):
    """A poll's tally at one version. It is at most `age_ms` old; 9007199254740991 (2^53-1): no bound is known."""

    id: str
    state: str
    results: Mapping[str, int]
    total: int
    version: int
    level: str
    age_ms: int


class Versioned(msgspec.Struct, Generic[T]):
    """A poll's definition, or a list of them, at one version."""

    value: T
    version: int
    level: str
    age_ms: int


class _Query(msgspec.Struct, array_like=True):
    what: Literal["results", "poll", "polls"]
    name: str | None
    level: Level
    min_version: int
    wait_s: float
    options: list[str] | None = None  # whose votes are asked for; nodes of 0.1.0 pass this over and give all


class _ChunkedResults(msgspec.Struct, array_like=True):
    """`Results` between nodes. `head` has no results: they are in `chunks`."""

    head: Results
    chunks: list[msgspec.Raw]


_encode = msgspec.msgpack.Encoder().encode
_decode_query = msgspec.msgpack.Decoder(_Query).decode
_ANSWERS: dict[str, msgspec.msgpack.Decoder[Any]] = {
    "results": msgspec.msgpack.Decoder(_ChunkedResults),
    "poll": msgspec.msgpack.Decoder(Versioned[PollView]),
    "polls": msgspec.msgpack.Decoder(Versioned[list[PollView]]),
}


class Reads:
    """Answers reads, from this node or from the leader. Runs on the node's loop."""

    def __init__(self, replica: Replica, *, turns: Turns | None = None, clock: Callable[[], float] = elapsed_s) -> None:
        """`turns` are those of all big work of the node."""
        self._replica = replica
        self._turns = turns or Turns()
        self._clock = clock
        self._waits, self._forwarded_waits = VersionWaits(), VersionWaits()  # for clients, and for other nodes
        self._asked_again = 0.0
        replica.on_applied(lambda applied: self._applied(applied.version))
        self._leader = LeaderCall(
            replica,
            "read",
            self._on_forwarded,
            no_leader="no leader is known; level=none answers from this node alone",
            changes_nothing=True,
        )
        self._sure_alone = 0  # linearizable reads that ask the leader by themselves now
        votes = VotesNow(lambda: replica.state.version)
        self._sure_version = SharedQuestion(lambda: self._confirmed_version(ASKED_S), votes.come)
        self.staleness = Staleness(replica, self._confirmed_version, clock)
        self._kept = KeptTallies(replica)
        self.big = BigTallies(replica, self._kept, self._turns, lambda: self.staleness.age_ms, clock)

    async def wait_until_known(self, min_version: int, wait_s: float) -> None:
        """Wait until this node knows all polls and has that version. Raises `NotReady` or `Stale` after `wait_s`."""
        deadline_s = asyncio.get_running_loop().time() + wait_s
        await self._reached(min_version, deadline_s)
        await self._known(deadline_s)

    async def catch_up(self, wait_s: float) -> None:
        """Wait until all is applied here that was committed before this call. Raises a `QuorateError` or
        `TimeoutError` after `wait_s`."""
        async with asyncio.timeout(wait_s):
            deadline_s = asyncio.get_running_loop().time() + wait_s
            version, _ = await self._ask_for_version("linearizable", deadline_s)
            await self._reached(version, deadline_s)

    def check_poll(self, poll_id: str) -> None:
        """Raise `UnknownPoll`, or `Deleted`, if this node's state has no such poll."""
        self._poll(poll_id)

    async def results(
        self, poll_id: str, *, level: Level = "weak", min_version: int = 0, wait_s: float = 2.0
    ) -> Results:
        """A poll's tally. Raises `UnknownPoll`, `NoLeader`, or `Stale` if `min_version` is not reached in `wait_s`."""
        answer: Results = await self._read(_Query("results", poll_id, level, min_version, wait_s))
        return answer

    async def votes_of(
        self, poll_id: str, options: Sequence[str], *, level: Level = "weak", min_version: int = 0
    ) -> list[int | None]:
        """The votes of these options; None for those that the poll has not. Raises the same errors as `results`."""
        answer: Results = await self._read(_Query("results", poll_id, level, min_version, 2.0, [*options]))
        return [answer.results.get(option) for option in options]

    async def poll(
        self, poll_id: str, *, level: Level = "weak", min_version: int = 0, wait_s: float = 2.0
    ) -> Versioned[PollView]:
        """A poll's definition. Raises the same errors as `results`."""
        answer: Versioned[PollView] = await self._read(_Query("poll", poll_id, level, min_version, wait_s))
        return answer

    async def existing(self, poll_ids: Collection[str], *, level: Level = "weak", wait_s: float = 2.0) -> set[str]:
        """Those of the polls that there are, by one question to the leader. Raises `NoLeader` or `Stale`."""
        state, deadline_s = self._replica.state, asyncio.get_running_loop().time() + wait_s
        if level == "none":
            if any(state.poll_version(poll_id) is None for poll_id in poll_ids):
                await self._known(deadline_s)
        elif self._replica.leader_via is not None or await self._catch_up(level, deadline_s) is None:
            return {poll_id for poll_id in poll_ids if await self._exists(poll_id, level, wait_s)}
        return {poll_id for poll_id in poll_ids if self._replica.state.poll_version(poll_id) is not None}

    async def _exists(self, poll_id: str, level: Level, wait_s: float) -> bool:
        try:
            await self.poll(poll_id, level=level, wait_s=wait_s)
        except (UnknownPoll, Deleted):
            return False
        return True

    async def polls(
        self, state: str | None = None, *, level: Level = "weak", min_version: int = 0, wait_s: float = 2.0
    ) -> Versioned[list[PollView]]:
        """The definitions of all polls, or of those in one state. Raises `NoLeader` or `Stale`, as `results`."""
        answer: Versioned[list[PollView]] = await self._read(_Query("polls", state, level, min_version, wait_s))
        return answer

    async def _read(self, query: _Query) -> Any:
        deadline_s = asyncio.get_running_loop().time() + query.wait_s
        if query.level == "none" or (query.level == "weak" and self._replica.is_leader):
            return await self._here(query, deadline_s)
        if self._is_for_here(query) and (answer := await self._caught_up(query, deadline_s)) is not None:
            return answer
        self._sure_alone += (sure := query.level == "linearizable")
        try:
            return await self._from_leader(query, deadline_s)
        except TooLarge:
            if query.what != "polls":
                raise
            raise Stale("this node has not caught up, and the list is too long to forward; ask again") from None
        finally:
            self._sure_alone -= sure

    def _is_for_here(self, query: _Query) -> bool:
        """Whether the leader had better be asked for its version alone; and this node gets what the leader applies."""
        poll = self._replica.state.poll(query.name or "")
        is_long = query.what == "polls" or (poll is not None and chunks.is_big(poll))
        is_one_of_many = query.level == "linearizable" and self._sure_alone
        return bool(is_long or is_one_of_many) and self._replica.leader_via is None

    async def _from_leader(self, query: _Query, deadline_s: float) -> Any:
        """The leader's answer, as soon as it has the version that the query needs."""
        loop, pause_s = asyncio.get_running_loop(), ASK_AGAIN_S
        while True:
            try:
                return await self._ask_leader(query, deadline_s)
            except Stale:
                left_s = deadline_s - loop.time()
                if not query.min_version or left_s <= 0:
                    raise
            self._asked_again = (self._asked_again + NOT_AT_ONCE) % 1
            await self._wait_here(query.min_version, min(left_s, pause_s * (0.5 + self._asked_again)))
            pause_s = min(2 * pause_s, ASK_AGAIN_MAX_S)

    async def _wait_here(self, version: int, wait_s: float) -> None:
        """Wait until this node has the version; if it has it, the leader is new and will have it in a moment."""
        if version <= self._replica.state.version:
            await asyncio.sleep(min(POLL_S, wait_s))
            return
        with contextlib.suppress(Stale):
            await self._reached(version, asyncio.get_running_loop().time() + wait_s)

    async def _ask_leader(self, query: _Query, deadline_s: float) -> Any:
        asked_at_s = self._clock()

        def forwarded(left_s: float) -> tuple[bytes, float]:
            nonlocal asked_at_s
            asked_at_s = self._clock()
            return _encode(msgspec.structs.replace(query, wait_s=0.0)), left_s + ANSWER_S

        async def decode(answer: bytes) -> Any:
            found = _ANSWERS[query.what].decode(answer)
            found = await self._join(found) if isinstance(found, _ChunkedResults) else found
            return self._older(found, asked_at_s)  # the leader may have read at the beginning of that time

        return await self._leader.ask(
            forwarded, here=lambda: self._here(query, deadline_s), decode=decode, deadline_s=deadline_s
        )

    def _older(self, found: Answer, since_s: float) -> Answer:
        """What was found at that moment or later, with the age that it may have now."""
        found.age_ms = min(AGE_UNKNOWN_MS, found.age_ms + self.staleness.ms_since(since_s))
        return found

    async def _join(self, answer: _ChunkedResults) -> Results:
        if len(answer.chunks) < 2:
            return msgspec.structs.replace(answer.head, results=await chunks.join(answer.chunks, self._turns.rest))
        async with self._turns:
            return msgspec.structs.replace(answer.head, results=await chunks.join(answer.chunks, self._turns.rest))

    async def _caught_up(self, query: _Query, deadline_s: float) -> Any:
        """The answer at the leader's version or a later one, from this node's state. None if this node lags much."""
        if (asked_at_s := await self._catch_up(query.level, deadline_s)) is None:
            return None
        await self._reached(query.min_version, deadline_s)
        return await self._from_state(query, asked_at_s)

    async def _catch_up(self, level: Level, deadline_s: float) -> float | None:
        """Wait until this node has the leader's version. Returns when that was asked for; None: it does not get it."""
        many = self._sure_version.answer(deadline_s) if level == "linearizable" else None
        if (told := await (many or self._ask_for_version(level, deadline_s))) is None:
            return None
        version, asked_at_s = told
        catch_up_by_s = min(deadline_s, asyncio.get_running_loop().time() + CATCH_UP_S)
        try:
            await self._reached(version, catch_up_by_s)
        except Stale:
            return None
        return asked_at_s

    async def _confirmed_version(self, timeout_s: float) -> tuple[int, float]:
        """The version of a leader that a majority confirmed, and when it was asked for (see `staleness.py`)."""
        return await self._ask_for_version("linearizable", asyncio.get_running_loop().time() + timeout_s)

    async def _ask_for_version(self, level: Level, deadline_s: float) -> tuple[int, float]:
        """The leader's version, and when it was asked for. The leader answers that it does not have `NO_VERSION`."""
        asked_at_s = self._clock()

        def question(left_s: float) -> tuple[bytes, float]:
            nonlocal asked_at_s
            asked_at_s = self._clock()
            return _encode(_Query("poll", "", level, NO_VERSION, 0.0)), left_s + ANSWER_S

        async def here() -> int:
            nonlocal asked_at_s
            asked_at_s = self._clock()
            return await self._replica.barrier() if level == "linearizable" else self._replica.state.version

        async def decode(answer: bytes) -> int:
            raise Stale("the leader answered a question that it cannot answer")

        try:
            version = await self._leader.ask(question, here=here, decode=decode, deadline_s=deadline_s)
        except Stale as told:
            version = version_in(told)
        return version, asked_at_s

    async def _on_forwarded(self, peer: str, data: bytes) -> bytes:
        """Only nodes of 0.1.0 have the leader wait, see above."""
        query = _decode_query(data)
        wait_s = query.wait_s if 0.0 <= query.wait_s <= FORWARDED_WAIT_MAX_S else FORWARDED_WAIT_MAX_S
        found = await self._here(query, asyncio.get_running_loop().time() + wait_s, self._forwarded_waits)
        if isinstance(found, Results):
            answer = _encode(await self._split(found))
        else:
            async with self._turns:  # a definition may be big, and the list of all is
                answer = _encode(found)
        if len(answer) > ENTRY_BYTES_MAX:
            raise TooLarge(f"the answer has {len(answer):,} bytes, too many to forward: ask {self._replica.node_id}")
        return answer

    async def _split(self, tally: Results) -> _ChunkedResults:
        results = SharedResults.of(tally.results)
        if len(results.parts) > 1:
            async with self._turns:
                parts = await chunks.split(results, self._turns.rest)
        else:
            parts = await chunks.split(results, self._turns.rest)
        return _ChunkedResults(msgspec.structs.replace(tally, results={}), parts)

    async def _here(self, query: _Query, deadline_s: float, waits: VersionWaits | None = None) -> Any:
        began_s = self._clock()
        if query.level == "linearizable":
            await self._replica.barrier()
        await self._reached(query.min_version, deadline_s, waits)
        if query.level == "none" and (query.what == "polls" or self._replica.state.poll(query.name or "") is None):
            await self._known(deadline_s)
        return await self._from_state(query, began_s)

    async def _from_state(self, query: _Query, began_s: float) -> Any:
        if query.what == "polls":
            return Versioned(self._replica.state.polls(query.name), *self._facts(query, began_s))
        poll = self._poll(query.name)
        if query.what == "poll":
            return Versioned(poll, *self._facts(query, began_s))
        if query.options is not None:
            some = SharedResults.of(self._replica.state.results_of(poll.id, query.options) or {})
            return Results(poll.id, poll.state, some, some.total, *self._facts(query, began_s))
        if chunks.is_big(poll):
            return await self._big_results(query, began_s)
        results = self._kept.of(poll) or self._read_small(poll)
        return Results(poll.id, poll.state, results, results.total, *self._facts(query, began_s))

    def _read_small(self, poll: PollView) -> SharedResults:
        return self._kept.keep(self._kept.begin(poll), SharedResults.of(self._replica.state.results(poll.id) or {}))

    def _facts(self, query: _Query, began_s: float) -> tuple[int, str, int]:
        """A linearizable read has all that was committed before it began, so it is as old as the read at most."""
        age_ms = self.staleness.ms_since(began_s) if query.level == "linearizable" else self.staleness.age_ms
        return self._replica.state.version, query.level, age_ms

    def _poll(self, asked: str | None) -> PollView:
        name = asked or ""
        poll = self._replica.state.poll(name)
        if poll is None and self._replica.state.tombstone(name) is not None:
            raise Deleted(f"the poll {name!r} was deleted", poll=name)
        if poll is None:
            raise UnknownPoll(f"there is no poll {name!r}", poll=name)
        return poll

    async def _big_results(self, query: _Query, began_s: float) -> Results:
        tally = await self.big.of(lambda: self._poll(query.name))
        since_s, age_ms = (began_s, 0) if query.level == "linearizable" else (tally.copied_s, tally.age_ms)
        results = tally.results
        made = Results(tally.poll.id, tally.poll.state, results, results.total, tally.version, query.level, age_ms)
        return self._older(made, since_s)

    async def _known(self, deadline_s: float) -> None:
        """Wait until what is not in this node's state does not exist."""
        while not self.staleness.is_known:
            if asyncio.get_running_loop().time() >= deadline_s:
                raise NotReady(NOT_KNOWN)
            await asyncio.sleep(POLL_S)

    def _applied(self, version: int) -> None:
        self._waits.reached(version)
        self._forwarded_waits.reached(version)

    async def _reached(self, version: int, deadline_s: float, waits: VersionWaits | None = None) -> None:
        if version <= self._replica.state.version:
            return
        waits = self._waits if waits is None else waits
        if not await waits.until(version, deadline_s - asyncio.get_running_loop().time()):
            at = self._replica.state.version
            raise Stale(f"this node is at version {at}, not yet at {version}", version=at)
