"""The client of a cluster for other programs: `from quorate import Client`. `async_client.py` is the same for asyncio.

Every request is sent until a node answers, or until the client's time is over: to another node at once where one fails,
and after growing pauses with some chance in them when all have failed. A request whose outcome is not known is sent
again unchanged: votes have ids, batches have keys or sequences, so they never count twice. What a node refused is
raised at once, as the class of `quorate.errors` that it meant. At the end of the time it is `NoLeader` if surely
nothing was done, and `OutcomeUnknown` if that is not known.

Threads may share a client; what of it belongs to one thread says so.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from msgspec import UNSET, UnsetType

from quorate.client import calls, programs
from quorate.client.answers import LeaderInfo, NodeInfo, PollHistory, PollInfo, PollResults
from quorate.client.asker import NodeAsker
from quorate.client.asking import RetryTimes
from quorate.client.calls import Call
from quorate.client.event_stream import EventStream
from quorate.client.followed import Followed
from quorate.client.known_version import KnownVersion
from quorate.client.programs import Program, SessionBatches
from quorate.client.target import target_of
from quorate.errors import QuorateError
from quorate.vote import Tallied, Vote
from quorate.words import Level

T = TypeVar("T")


class Client:
    """`nodes`: URLs of nodes, one or some; each finds the leader. Or `consul`: the address of an agent that knows them.
    Without either: QUORATE_NODES, QUORATE_CONSUL, or else ports 8001 to 8003 of this host.

    `timeout_s` bounds each request, with all its attempts; see `within`. `token`, or a `token_file` (else
    QUORATE_TOKEN_FILE), is sent with each. `ca` (else QUORATE_CA) is a file of the certificates to trust, and no other.
    """

    def __init__(
        self,
        nodes: str | Sequence[str] | None = None,
        *,
        consul: str | None = None,
        timeout_s: float = 10.0,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        target = target_of(nodes, consul, token, token_file, ca)
        self._asker = NodeAsker(target.nodes, token=target.token, ca=target.ca)
        self._known = KnownVersion()
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Streams of events are closed by themselves."""
        self._asker.close()

    def within(self, timeout_s: float) -> Self:
        """This client with another time for each request. It shares the connections and what is known."""
        other = copy.copy(self)
        other._timeout_s = timeout_s
        return other

    @property
    def version(self) -> int:
        """The highest version of the state that this client was told; another client may give it as `min_version`."""
        return self._known.version

    # ---- votes ------------------------------------------------------------------------------------------------------

    def vote(self, vote: Vote | str, *, poll: str | None = None, id: str | None = None, weight: int = 1) -> Tallied:
        """Count one vote: a `Vote`, or an option. If it cannot be counted, the error says why.

        Without `id` the client makes one. `error.fields["votes"]` has the vote with its id, to be sent again later.
        """
        made = Vote(vote, id, poll, weight) if isinstance(vote, str) else vote
        return self._run(programs.cast_one(programs.with_ids([made], poll=poll)[0]))

    def votes(self, votes: Iterable[Vote | str], *, poll: str | None = None) -> Tallied:
        """Count votes independently of each other, however many. The answer lists those that cannot be counted.

        If it fails, `error.fields["votes"]` has the votes that are not known to be counted, with their ids: give them
        to `votes` again. `error.fields["tallied"]` sums up the others.
        """
        return self._run(programs.cast_many(programs.with_ids(votes, poll=poll)))

    def votes_once(self, votes: Iterable[Vote | str], *, key: str | None = None, poll: str | None = None) -> Tallied:
        """Count all votes or none, under one idempotency key: for votes without ids, up to 10,000.

        Without `key` the client makes one. `error.fields["key"]` has it, to send the same votes again later.
        """
        return self._run(programs.cast_once([programs.vote_of(vote, poll) for vote in votes], key or calls.new_id()))

    def session(self, name: str, *, new: bool = False) -> ProducerSession:
        """Open a producer session, or take it over: whoever had it is refused from now on.

        Raises `Deleted` if an operator made the cluster forget it, unless it is opened as `new`.
        """
        return ProducerSession(self, SessionBatches(self._run(programs.one(calls.open_session(name, new=new)))))

    # ---- reads ------------------------------------------------------------------------------------------------------

    def results(self, poll: str, *, level: Level = "weak", min_version: int | None = None) -> PollResults:
        """A poll's tally. `level`: `none` asks any node, `weak` the leader, `linearizable` a majority.

        It is never from before what this client was told; with `min_version`, not from before that instead.
        """
        return self._run(programs.one(calls.results(poll, level, self._known.or_given(min_version))))

    def history(
        self, poll: str, *, begin: str | datetime | timedelta = "1h", step: str | timedelta | None = None
    ) -> PollHistory:
        """How a poll's tally changed, since a moment or for as long as a time ago (`"15m"`, `"7d"`, a timedelta).

        Each node records for itself: by seconds for an hour, by minutes for a week. The node that answers tells it.
        Without `step` it is one that gives some hundred values.
        """
        return self._run(programs.one(calls.history(poll, begin, step)))

    def events(self, *polls: str) -> EventStream:
        """Tallies as they change, of these polls or of all: `PollResults`, and `PollDeleted`. Each is the whole tally.

        It begins with the present ones. When the node is gone it goes on at another, and never shows an older tally; it
        raises `NoLeader` if no node serves it within the client's time.
        """
        return EventStream(self._asker, Followed(polls), self._times)

    # ---- polls ------------------------------------------------------------------------------------------------------

    def create_poll(
        self,
        id: str,
        options: Sequence[str],
        *,
        title: str = "",
        state: str = "open",
        closes_at: datetime | str | None = None,
        write_ins: bool = False,
    ) -> PollInfo:
        """Create a poll, or find the same one. Raises `Conflict` if another poll has this id."""
        return self._run(programs.one(calls.create_poll(id, options, title, state, closes_at, write_ins)))

    def poll(self, id: str) -> PollInfo:
        return self._run(programs.one(calls.poll(id, self._known.version)))

    def polls(self, state: str | None = None) -> list[PollInfo]:
        """All polls, or those in one state."""
        return self._run(programs.all_polls(state, self._known.version))

    def edit_poll(
        self,
        id: str,
        *,
        title: str | UnsetType = UNSET,
        add_options: Sequence[str] | UnsetType = UNSET,
        closes_at: datetime | str | UnsetType | None = UNSET,
    ) -> PollInfo:
        """Change what is given. `closes_at=None` takes the closing time away."""
        return self._run(programs.one(calls.edit_poll(id, title, add_options, closes_at)))

    def open_poll(self, id: str) -> None:
        self._run(programs.one(calls.set_poll_state(id, "open")))

    def close_poll(self, id: str) -> None:
        self._run(programs.one(calls.set_poll_state(id, "closed")))

    def archive_poll(self, id: str) -> None:
        self._run(programs.one(calls.set_poll_state(id, "archived")))

    def delete_poll(self, id: str, *, creation: int | None = None) -> bool:
        """Delete a draft or an archived poll. False if it was deleted already. Sent again, it hits no later poll."""
        return self._run(programs.delete_poll(id, creation, self._known.version))

    # ---- the cluster ------------------------------------------------------------------------------------------------

    def leader(self) -> LeaderInfo:
        return self._run(programs.one(calls.leader()))

    def nodes(self) -> list[NodeInfo]:
        """All members, as the asked node sees them."""
        return self._run(programs.one(calls.nodes()))

    def status(self) -> dict[str, Any]:
        """All that one node says of itself: `GET /status`."""
        return self._run(programs.one(calls.status()))

    @property
    def _times(self) -> RetryTimes:
        return RetryTimes(self._timeout_s, self._timeout_s)

    def _run(self, program: Program[T]) -> T:
        try:
            call = next(program)
            while True:
                try:
                    answer = self._ask(call)
                except QuorateError as error:
                    call = program.throw(error)
                else:
                    call = program.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result

    def _ask(self, call: Call[T]) -> T:
        reply = self._asker.ask(call, self._times)
        self._known.note(reply.version)
        return call.read(reply)


class ProducerSession:
    """An ordered stream of batches, each counted once, all of it or nothing. Threads that share it take turns.

    `sequence` is the number of the last batch that counts, also of an earlier writer: a program that starts again sees
    there how far it came. Leaving the block ends nothing; the cluster keeps the session until it is forgotten.
    """

    def __init__(self, client: Client, batches: SessionBatches) -> None:
        self._client, self._batches = client, batches
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def name(self) -> str:
        return self._batches.name

    @property
    def epoch(self) -> int:
        return self._batches.epoch

    @property
    def sequence(self) -> int:
        return self._batches.sequence

    @property
    def in_doubt(self) -> bool:
        """Whether the last batch may or may not have been counted. `settle` finds out, and so does the next `send`."""
        return self._batches.in_doubt

    def send(self, votes: Iterable[Vote | str], *, poll: str | None = None) -> Tallied:
        """Count a batch: up to 10,000 votes without ids. A batch in doubt is sent again before it.

        Raises `TakenOver` if somebody else opened the session, and `Rejected` if one of the votes cannot count.
        """
        with self._turn:
            return self._client._run(self._batches.send(votes, poll))

    def settle(self) -> Tallied | None:
        """Send the batch in doubt again. None: there is none."""
        with self._turn:
            return self._client._run(self._batches.settle())
