"""Event streams: tallies as they change, from this node's own state.

A poll has at most one event in a tenth of a second. Each event has the complete tally at one version, so a client that
misses an event loses nothing. For a slow client only the newest event of each poll is kept. The id of an event is the
version. A client that comes back with `Last-Event-ID`, to this node or another one, never sees an older tally.

Events that are sent together over HTTP form a group. Only the last of a group has the id: if the connection breaks
inside the group, the client comes back with the id of the group before and so gets the present tallies again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from quorate.cluster.fsm import Applied, PollView
from quorate.cluster.read import chunks
from quorate.cluster.read.big_tallies import BigTallies
from quorate.cluster.read.shared_results import AS_JSON
from quorate.cluster.replica import Replica
from quorate.doors.address_shares import AddressShares
from quorate.doors.caller_places import CallerPlaces
from quorate.doors.event import Event, encode
from quorate.doors.event_stream import WHOEVER, Stream
from quorate.doors.followers import Followers, Giving
from quorate.doors.poll_changes import PollChanges, deleted_event
from quorate.doors.unsent import BIG_BYTES
from quorate.errors import NotReady, Overloaded, QuorateError, UnknownPoll
from quorate.security.caller import Caller
from quorate.turns import Turns
from quorate.words import count

COALESCE_S = 0.1
KEPT_MAX = 100  # events of the present version, for streams that begin
Ready = Callable[[], Awaitable[None]]
OPTIONS_PER_ROUND = 20_000  # a bigger change takes several rounds, so that the loop can send Raft's heartbeats


class Events:
    """Collects what the replica applies and puts events into the streams. Used on the loop."""

    def __init__(
        self,
        replica: Replica,
        tallies: BigTallies,
        turns: Turns,
        *,
        streams_max: int = 1_000,
        address_percent: int = 100,
    ) -> None:
        """`address_percent` is what one address may have of them; see `address_shares.py`."""
        self._replica, self._tallies, self._turns = replica, tallies, turns
        self._streams_max = streams_max
        self.shares = AddressShares(streams_max, address_percent)
        self.places = CallerPlaces(streams_max, "event streams")
        self._followers = Followers()
        self._giving = Giving()
        self._without_tallies: set[Stream] = set()
        self._poll_changes = PollChanges(replica)
        self._told: dict[str, tuple[Event, list[Stream]]] = {}  # what these are to be told, and who follows since then
        self._telling: asyncio.Task[None] | None = None
        self._kept: dict[str, Event] = {}  # small ones, of the present version
        self._held: set[Stream] = set()  # streams that have not begun: what is applied now may be older than they saw
        self._options: dict[str, frozenset[str]] = {}  # the options of each poll that a stream names
        self._creations: dict[str, int] = {}  # which poll of that name they are of: of one poll they are only ever more
        self._changed_options: set[str] = set()
        self._changed_polls: dict[str, set[Stream] | None] = {}  # poll id -> streams; None: all that follow the poll
        self._closed = False
        self._scheduled: asyncio.TimerHandle | None = None
        self._round: asyncio.Task[None] | None = None
        self._big: dict[str, set[Stream] | None] = {}  # as `_changed_polls`: big ones, which wait for their turn
        self._big_round: asyncio.Task[None] | None = None
        replica.on_applied(self._on_applied)

    def __len__(self) -> int:
        return len(self._followers) + len(self._without_tallies) + len(self._held)

    @property
    def behind(self) -> set[Stream]:
        return self._followers.behind

    def _all(self) -> list[Stream]:
        return [*self._followers, *self._without_tallies, *self._held]

    def open(
        self,
        polls: Sequence[str],
        *,
        after: int = 0,
        when: Ready | None = None,
        caller: Caller | None = None,
        only_polls: bool = False,
    ) -> Stream:
        """Open a stream of the named polls, or of all polls. It begins with the present tally of each poll.

        With `only_polls` it has no tallies, and begins with nothing.

        With `when` it begins as soon as that returns; until then it has only heartbeats. It ends if that raises.

        A stream of all polls does not begin with the archived ones. A stream of one poll begins with nothing if the
        client has already seen the present version (`after`).
        """
        if self._closed:
            raise NotReady("this node is stopping; ask another one")
        if len(self) >= self._streams_max:
            raise NotReady(f"{self._streams_max} clients follow events on this node already; ask another node")
        stream = Stream(self, frozenset(polls) or None, caller, only_polls=only_polls)
        if self.shares.is_full(stream.share_key):
            raise Overloaded(
                f"{count(self.shares.most, 'stream')} of events to this address are open already, "
                "its share (http.address_percent)"
            )
        self.places.take(caller or WHOEVER)
        self.shares.take(stream.share_key)
        if when is None:
            self._begin(stream, polls, after)
        else:
            self._held.add(stream)
            stream.beginning = asyncio.ensure_future(self._begin_when(when, stream, polls, after))
        return stream

    async def _begin_when(self, when: Ready, stream: Stream, polls: Sequence[str], after: int) -> None:
        try:
            await when()
        except QuorateError:
            stream.close()  # the client comes back and is told why, if that is still so
            return
        self._held.discard(stream)
        stream.beginning = None
        self._begin(stream, polls, after)

    def _begin(self, stream: Stream, polls: Sequence[str], after: int) -> None:
        if stream.only_polls:
            if not self._without_tallies:
                self._poll_changes.begin()
            self._without_tallies.add(stream)
            return
        self._followers.add(stream)
        state = self._replica.state
        for poll_id in polls:
            self._options.setdefault(poll_id, frozenset())
        if len(polls) != 1 or after != state.version:
            for poll_id in polls or [poll.id for poll in state.polls() if poll.state != "archived"]:
                streams = self._changed_polls.setdefault(poll_id, set())
                if streams is not None:
                    streams.add(stream)
            self._schedule(0.0)

    def forget(self, stream: Stream) -> None:
        self._held.discard(stream)
        self._without_tallies.discard(stream)
        if stream in self._followers:  # else it was closed before, or has not begun
            for poll_id in self._followers.remove(stream):
                del self._options[poll_id]
                self._creations.pop(poll_id, None)

    def end(self, caller_may: Callable[[Caller], bool]) -> None:
        """End the streams whose caller may not go on: its token was revoked, or is another one now."""
        for stream in self._all():
            if stream.caller is not None and not caller_may(stream.caller):
                stream.revoke()

    def close(self) -> None:
        """End every stream and open no more, since the node stops. Idempotent."""
        self._closed = True
        for stream in self._all():
            stream.close()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        for task in (self._round, self._big_round, self._telling):
            if task is not None:
                task.cancel()

    def _on_applied(self, applied: Applied) -> None:
        self._kept.clear()
        if self._without_tallies:
            self._note_changes(applied)
        if self._followers:
            self._changed_options.update(applied.options)
            self._changed_polls.update(dict.fromkeys(applied.polls))
            self._schedule(COALESCE_S)

    def _note_changes(self, applied: Applied) -> None:
        """What is told of them is about now, so streams that begin later are not told."""
        for poll_id, event in self._poll_changes.of(applied):
            self._told[poll_id] = event, [*self._without_tallies]
        if self._told and self._telling is None:
            self._telling = asyncio.ensure_future(self._tell_changes())

    async def _tell_changes(self) -> None:
        try:
            while self._told:
                poll_id = next(iter(self._told))
                await self._tell(poll_id, *self._told.pop(poll_id))
        finally:
            self._telling = None

    async def _tell(self, poll_id: str, event: Event, streams: Sequence[Stream]) -> None:
        followers = [stream for stream in streams if stream.polls is None or poll_id in stream.polls]
        await self._giving.give(event, followers, lambda: poll_id not in self._told)

    def _schedule(self, delay_s: float) -> None:
        if self._scheduled is None and self._round is None:
            self._scheduled = asyncio.get_running_loop().call_later(delay_s, self._begin_round)

    def _begin_round(self) -> None:
        self._scheduled = None
        self._round = asyncio.ensure_future(self._run_round())
        self._round.add_done_callback(self._round_done)

    def _round_done(self, done: asyncio.Task[None]) -> None:
        self._round = None
        if done.cancelled():
            return
        if self._changed_polls or self._changed_options:
            self._schedule(COALESCE_S)
        done.result()  # raises an unexpected error here, so that the loop logs it

    async def _run_round(self) -> None:
        """Send the polls that changed, until the options of this round are used up. The next round sends the others."""
        self._find_changed_polls()
        room = OPTIONS_PER_ROUND
        while self._changed_polls and room > 0:
            poll_id = next(iter(self._changed_polls))  # the poll that has waited longest
            poll, streams = self._replica.state.poll(poll_id), self._changed_polls.pop(poll_id)
            if poll is not None and chunks.is_big(poll):
                self._send_big(poll_id, streams)
            else:
                room -= await self._send_poll(poll_id, streams)

    def _send_big(self, poll_id: str, streams: set[Stream] | None) -> None:
        """Send it in its turn, which may take a while: small polls do not wait for that."""
        before = self._big.get(poll_id, set())
        self._big[poll_id] = None if streams is None or before is None else before | streams
        if self._big_round is None:
            self._big_round = asyncio.ensure_future(self._run_big_rounds())

    async def _run_big_rounds(self) -> None:
        try:
            while self._big:
                changed, self._big = self._big, {}
                for poll_id, streams in changed.items():
                    await self._send_poll(poll_id, streams)
                await asyncio.sleep(COALESCE_S)
        finally:
            self._big_round = None

    def _find_changed_polls(self) -> None:
        """Add the followed polls that have one of the changed options to the changed polls."""
        changed, self._changed_options = self._changed_options, set()
        if self._followers.follow_all:
            for option in changed:
                self._changed_polls.update(dict.fromkeys(self._replica.state.polls_with(option)))
            return
        self._find_new_options()
        for poll_id, options in self._options.items():
            if not options.isdisjoint(changed):
                self._changed_polls[poll_id] = None

    def _find_new_options(self) -> None:
        """Polls are created, and options added, while they are followed. A snapshot may bring both without a word."""
        for poll_id, options in self._options.items():
            poll = self._replica.state.poll(poll_id)
            # Votes for a write-in poll name it, so its options are not looked up.
            if poll is None or poll.write_ins:
                continue
            if len(poll.options) != len(options) or self._creations.get(poll_id) != poll.creation:
                self._options[poll_id], self._creations[poll_id] = frozenset(poll.options), poll.creation

    async def _send_poll(self, poll_id: str, streams: set[Stream] | None) -> int:
        """Give the tally of a poll to these streams, or to all that follow it. Returns how many options were read."""
        followers = self._followers.of(poll_id, streams)  # who comes while the tally is made may have seen a newer one
        state = self._replica.state
        poll = state.poll(poll_id)
        if not followers:
            return 0
        if poll is None:
            event = deleted_event(state, poll_id)
            await self._giving.give(event, followers, lambda: state.poll(poll_id) is None)
            return 0
        if chunks.is_big(poll):
            try:
                poll, event = await self._big_event(poll_id)
            except UnknownPoll:  # it was deleted meanwhile, and that is told
                return 0
            except Overloaded:
                self._send_big(poll_id, streams)  # in the next round
                return 0
        else:
            event = self._kept.get(poll_id) or self._event(poll)
        if streams is not None:
            followers = self._followers.of(poll_id, streams)  # others may have come to wait with an older one
        sent = poll
        await self._giving.give(event, followers, lambda: self._is_still_there(sent))
        return len(poll.options)

    def _event(self, poll: PollView) -> Event:
        state = self._replica.state
        self._giving.note_made()
        results = state.results(poll.id) or {}
        document = {**_head(poll), "results": results, "total": sum(results.values()), "version": state.version}
        event = Event("results", poll.id, document, state.version)
        if len(event.document) <= BIG_BYTES and len(self._kept) < KEPT_MAX:
            self._kept[poll.id] = event
        return event

    async def _big_event(self, poll_id: str) -> tuple[PollView, Event]:
        """Of a tally that is shared with whoever reads the poll: what has not changed is not made and written again.

        Raises `UnknownPoll` and `Overloaded`.
        """

        def find() -> PollView:
            poll = self._replica.state.poll(poll_id)
            if poll is None:
                raise UnknownPoll(f"there is no poll {poll_id!r}")
            return poll

        tally = await self._tallies.of(find)
        rows = await tally.results.form(AS_JSON, self._turns)
        end = b',"total":%d,"version":%d}' % (tally.results.total, tally.version)
        document = b"".join((encode(_head(tally.poll))[:-1], b',"results":', rows, end))
        return tally.poll, Event("results", poll_id, document, tally.version)

    def _is_still_there(self, poll: PollView) -> bool:
        """Otherwise its deletion was told, and perhaps another poll of its name."""
        now = self._replica.state.poll(poll.id)
        return now is not None and now.creation == poll.creation


def _head(poll: PollView) -> dict[str, str]:
    return {"id": poll.id, "title": poll.title, "state": poll.state}
