"""Right histories by chance: clients, a network that loses and delays, and a real state machine.

Requests reach a log after a while, or never. Entries take in what has arrived, are applied, and answers go back, or are
lost. A client gives up after a while, so that a request may count long after its sender has another answer. Replicas
lag behind; a sink shows what a leader wrote a while ago. In the end every open question is asked again.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from quorate.chaos.history import (
    Cast,
    Door,
    End,
    Header,
    HistoryOperation,
    NodeDigest,
    NodeLook,
    OpenSession,
    PollChange,
    PollPlan,
    Read,
    Record,
    SentVote,
    SinkLook,
)
from quorate.cluster import entry
from quorate.cluster.entry import Command, PollResult, ProducerResult, Result, VotesResult, WholeResult
from quorate.cluster.fsm import StateMachine
from quorate.vote import Outcome
from tests.unit.chaos.commands import KEY, command_of, tell_of_votes
from tests.unit.chaos.files import recorded_at

WEIGHTS = {"a": 1, "b": 3}


@dataclass
class Mix:
    """What a run does, and how often, in shares."""

    single: float = 10
    named: float = 0.5  # of the votes: how many name their poll
    several: float = 2
    redis: float = 0  # of the requests of votes with ids: how many are of Redis clients
    bare: float = 0  # of the reads that are not of level none: how many are of Redis clients, without a version
    keyed: float = 1
    sessions: float = 1.5
    plain: float = 0.5
    resend: float = 3
    read: float = 5
    change: float = 0.5
    look: float = 1
    digest: float = 0.5
    lost: float = 0.1
    late: float = 0.1
    polls: Sequence[str] = ("p", "q")


@dataclass
class Sent:
    """A request that is under way."""

    operation: Any  # of one of the kinds
    command: Callable[[], Command] | None
    answer: Callable[[Any, Result, int], None]
    done: bool = False


@dataclass
class _Shown:
    """What the polls showed at a version."""

    results: dict[str, dict[str, int]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    digest: str = ""


class RandomRun:
    def __init__(
        self, seed: int, *, operations: int = 120, clients: int = 4, window: int = 1000, mix: Mix | None = None
    ):
        self.rng = random.Random(seed)
        self.mix = mix or Mix()
        self.machine = StateMachine()
        self.shown: list[_Shown] = [_Shown()]
        self.records: list[Record] = [
            Header(1, "test", seed, 0, {f"n{i}": "" for i in range(3)}, window),
            *(PollPlan(poll, dict(WEIGHTS), 0.0) for poll in self.mix.polls),
        ]
        self._time = 0.0
        self._tie = itertools.count()
        self._numbers, self._names = itertools.count(1), itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._arrived: list[Sent] = []
        self._left = operations
        self._lags = {f"n{i}": 0 for i in range(3)}
        self._sink: tuple[int, int] = (0, 1)  # version, term
        self._casts: list[Cast] = []  # the first attempt at each request
        self._told: Counter[str] = Counter()  # requests that got an answer
        self._sessions: dict[str, tuple[int, int]] = {}  # producer -> (epoch, last sequence)
        self._busy: set[str] = set()
        self._settling = False
        self._run(window, clients)

    # ---- time -------------------------------------------------------------------------------------------------------

    def _run(self, window: int, clients: int) -> None:
        self._apply([entry.FormCluster("c", KEY, window)])
        for poll in self.mix.polls:
            self._create(poll)
        self._drain()
        self._lags = dict.fromkeys(self._lags, self.machine.version)
        for client in range(clients):
            self._after(self.rng.random(), partial(self._next, f"c{client}"))
        self._drain()
        self._settle()
        self.records.sort(key=recorded_at)
        last = self._time + 1
        self.records.append(End(last, sum(isinstance(each, HistoryOperation) for each in self.records), True))

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._time + seconds, next(self._tie), do))

    def _drain(self) -> None:
        while self._events:
            self._time, _, do = heapq.heappop(self._events)
            do()

    # ---- the cluster ------------------------------------------------------------------------------------------------

    def _apply(self, *batches: list[Command]) -> tuple[list[list[Result]], int]:
        encoded = [entry.encode_batch(batch) for batch in batches]
        applied = self.machine.apply(entry.encode_entry(int(self._time * 1000) + 1, encoded))
        shown = _Shown(digest=self.machine.digest())
        for poll in self.machine.polls():
            shown.results[poll.id] = dict(self.machine.results(poll.id) or {})
            shown.states[poll.id] = poll.state
        self.shown.append(shown)
        return applied.results, applied.version

    def _send(self, sent: Sent) -> None:
        """Lose the request, or its answer, or let it be late."""
        rng, lost = self.rng, 0.0 if self._settling else self.mix.lost
        if rng.random() >= lost:
            delay = rng.random() if rng.random() >= self.mix.late or self._settling else 8 * rng.random()
            self._after(delay, lambda: self._arrive(sent))
        if not self._settling:
            self._after(2.5 + rng.random(), lambda: self._give_up(sent))

    def _arrive(self, sent: Sent) -> None:
        self._arrived.append(sent)
        if len(self._arrived) == 1:
            self._after(0.3 * self.rng.random(), self._commit)

    def _commit(self) -> None:
        arrived, self._arrived = self._arrived, []
        if self.rng.random() < 0.2:
            self._apply()  # an entry that only leaders make
        batches = [[sent.command()] for sent in arrived if sent.command is not None]
        results, version = self._apply(*batches)
        for sent, (result,) in zip(arrived, results, strict=True):
            if self._settling or self.rng.random() >= self.mix.lost:
                self._after(self.rng.random(), partial(self._reply, sent, result, version))

    def _reply(self, sent: Sent, result: Result, version: int) -> None:
        if sent.done:
            return
        sent.operation.ended, sent.operation.outcome, sent.operation.version = self._time, "ok", version
        sent.answer(sent.operation, result, version)
        self._finish(sent)

    def _give_up(self, sent: Sent) -> None:
        if not sent.done:
            sent.operation.ended = self._time
            sent.operation.error = "timeout"
            self._finish(sent)

    def _finish(self, sent: Sent) -> None:
        sent.done = True
        self.records.append(sent.operation)
        client = sent.operation.client
        if not self._settling:
            self._after(0.2 * self.rng.random(), lambda: self._next(client))

    # ---- clients ----------------------------------------------------------------------------------------------------

    def _next(self, client: str) -> None:
        if self._left <= 0 or client == "run":
            return
        self._left -= 1
        mix = self.mix
        kinds = ["single", "several", "keyed", "sessions", "plain", "resend", "read", "change", "look", "digest"]
        kind = self.rng.choices(kinds, [getattr(mix, kind) for kind in kinds])[0]
        getattr(self, f"_do_{kind}")(client)

    def _common(self, client: str) -> dict[str, Any]:
        node = self.rng.choice(list(self._lags))
        return {"number": next(self._numbers), "client": client, "node": node, "begun": self._time}

    def _vote(self, id: str | None) -> SentVote:
        option = self.rng.choice(list(WEIGHTS))
        poll = self.rng.choice(list(self.mix.polls)) if self.rng.random() < self.mix.named else None
        return SentVote(option, id, poll, WEIGHTS[option])

    def _do_single(self, client: str) -> None:
        name = next(self._names)
        where, votes = self._common(client), [self._vote(f"id{name}")]
        self._cast(Cast(**where, request=f"r{name}", votes=votes, door=self._door()))

    def _do_several(self, client: str) -> None:
        name = next(self._names)
        votes = [self._vote(f"id{name}.{i}") for i in range(self.rng.randint(2, 4))]
        self._cast(Cast(**self._common(client), request=f"r{name}", votes=votes, door=self._door()))

    def _door(self) -> Door:
        return "resp" if self.mix.redis and self.rng.random() < self.mix.redis else "http"

    def _do_plain(self, client: str) -> None:
        self._cast(Cast(**self._common(client), request=f"r{next(self._names)}", votes=[self._vote(None)]))

    def _do_keyed(self, client: str) -> None:
        votes = [self._vote(None) for _ in range(self.rng.randint(1, 3))]
        self._cast(Cast(**self._common(client), request=f"k{next(self._names)}", votes=votes, way="key"))

    def _do_sessions(self, client: str) -> None:
        producer = "s1"
        if producer not in self._sessions or self.rng.random() < 0.2:
            self._open(client, producer)
        elif producer in self._busy:
            self._do_read(client)
        else:
            epoch, last = self._sessions[producer]
            self._busy.add(producer)
            votes = [self._vote(None) for _ in range(self.rng.randint(1, 2))]
            request = f"{producer}.{epoch}.{last + 1}.{sorted(vote.option for vote in votes)}"
            where = self._common(client) | {"producer": producer, "epoch": epoch, "sequence": last + 1}
            self._cast(Cast(**where, request=request, votes=votes, way="session"))

    def _open(self, client: str, producer: str) -> None:
        opening = OpenSession(**self._common(client), producer=producer)

        def opened(operation: OpenSession, result: Result, version: int) -> None:
            assert isinstance(result, ProducerResult)
            operation.epoch, operation.sequence = result.epoch, result.sequence
            operation.version = self.rng.randint(max(1, version - 2), version)  # of the node that was asked
            if result.epoch > self._sessions.get(producer, (0, 0))[0]:
                self._sessions[producer] = (result.epoch, result.sequence)
                self._busy.discard(producer)

        self._send(Sent(opening, lambda: entry.OpenProducer(producer), opened))

    def _do_resend(self, client: str) -> None:
        if not self._casts:
            self._do_single(client)
            return
        unanswered = [each for each in self._casts if not self._told[each.request]]
        first = self.rng.choice(unanswered if unanswered and self.rng.random() < 0.6 else self._casts[-20:])
        self._again(client, first)

    def _again(self, client: str, first: Cast) -> None:
        common = self._common(client)
        same = ("request", "votes", "way", "producer", "epoch", "sequence", "door")
        fields = {name: getattr(first, name) for name in same}
        self._cast(Cast(**common, **fields, settles=self._settling))

    def _cast(self, operation: Cast) -> None:
        if all(each.request != operation.request for each in self._casts):
            self._casts.append(operation)
        self._send(Sent(operation, lambda: command_of(operation), self._counted))

    def _counted(self, operation: Cast, result: Result, version: int) -> None:
        self._told[operation.request] += 1
        if isinstance(result, VotesResult):
            tell_of_votes(operation, result)
            return
        assert isinstance(result, WholeResult)
        if result.outcome == Outcome.APPLIED:
            operation.applied = result.votes
        elif result.outcome == Outcome.DUPLICATE:
            operation.duplicates = result.votes
        elif result.by_choice:  # such an answer has no version
            operation.rejected = [(i, Outcome(code).reason) for i, code in enumerate(result.by_choice) if code > 1]
            operation.version = None
        else:
            operation.outcome, operation.error, operation.version = "fail", Outcome(result.outcome).reason, None
        if operation.way == "session":
            self._session_answered(operation, Outcome(result.outcome))

    def _session_answered(self, operation: Cast, outcome: Outcome) -> None:
        epoch, last = self._sessions[operation.producer]
        if epoch == operation.epoch and operation.sequence == last + 1:
            if outcome in (Outcome.APPLIED, Outcome.DUPLICATE):
                self._sessions[operation.producer] = (epoch, last + 1)
            self._busy.discard(operation.producer)

    # ---- polls ------------------------------------------------------------------------------------------------------

    def _create(self, poll: str) -> None:
        change = PollChange(**self._common("run"), poll=poll, to="open", creates=True)
        command = entry.CreatePoll(poll, "", list(WEIGHTS), "open", None, False)
        self._settling = True
        self._send(Sent(change, lambda: command, lambda *_: None))
        self._drain()
        self._settling = False

    def _do_change(self, client: str) -> None:
        poll = self.rng.choice(list(self.mix.polls))
        to = self.rng.choice(["open", "closed"])
        change = PollChange(**self._common(client), poll=poll, to=cast(Any, to))

        def changed(operation: PollChange, result: Result, version: int) -> None:
            assert isinstance(result, PollResult)

        self._send(Sent(change, lambda: entry.SetPollState(poll, cast(Any, to)), changed))

    # ---- looking ----------------------------------------------------------------------------------------------------

    def _do_read(self, client: str) -> None:
        level = self.rng.choice(["none", "weak", "linearizable"])
        read = Read(**self._common(client), poll=self.rng.choice(list(self.mix.polls)), level=cast(Any, level))
        if level != "none" and self.mix.bare and self.rng.random() < self.mix.bare:
            read.door = "resp"
        self._after(self.rng.random(), lambda: self._look(read))

    def _look(self, read: Read) -> None:
        now = self.machine.version
        if read.level == "none":
            self._lags[read.node] = max(self._lags[read.node], now - self.rng.randint(0, 4))
            read.version = self._lags[read.node]
        else:
            read.version = now - (
                self.rng.randint(0, 1) if read.level == "weak" and now > len(self.mix.polls) + 3 else 0
            )
        if self.rng.random() < 0.3:
            read.min_version = max(0, read.version - self.rng.randint(0, 3))
        shown = self.shown[read.version]
        read.results, read.state = dict(shown.results[read.poll]), shown.states[read.poll]
        read.total = sum(read.results.values())
        if read.door == "resp":
            read.version, read.min_version, read.state = None, None, ""
        self._after(self.rng.random(), lambda: self._seen(read))

    def _seen(self, read: Read) -> None:
        read.ended, read.outcome = self._time, "ok"
        self._finish(Sent(read, None, lambda *_: None))

    def _do_look(self, client: str) -> None:
        version, term = self._sink
        if self.rng.random() < 0.7:
            self._sink = version, term = self.machine.version, term + (self.rng.random() < 0.2)
        begun = self._time
        for poll in self.mix.polls:
            fence = f"{1:010d}.{term:016d}.{version:020d}"
            if version > 5:
                results = dict(self.shown[version].results[poll])
                self.records.append(SinkLook(begun, "mongo", poll, fence, version, results, begun + 0.01))
        self._after(0.02, lambda: self._next(client))

    def _do_digest(self, client: str) -> None:
        self.records.append(NodeLook(self._time, "n1", "leader", 1, dedup_ids=self.machine.dedup().held))
        version = self.machine.version
        for node in ("n1", "n2"):
            digest = NodeDigest(**self._common(client) | {"node": node}, version=version, outcome="ok")
            digest.ended, digest.digest, digest.chain = self._time, self.shown[version].digest, f"chain {version}"
            self.records.append(digest)
        self._after(0.02, lambda: self._next(client))

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Ask again what has no answer, and some that has; then read, and look at all nodes."""
        self._settling = True
        some = self.rng.sample(self._casts, min(5, len(self._casts)))
        for first in [*(each for each in self._casts if self._is_open(each)), *some]:
            self._again("run", first)
            self._drain()
        for poll in self.mix.polls:
            read = Read(**self._common("run"), poll=poll, level="linearizable", settles=True)
            self._look(read)
            self._drain()
        self._do_digest("run")
        self._drain()

    def _is_open(self, first: Cast) -> bool:
        casts = [each for each in self.records if isinstance(each, Cast) and each.request == first.request]
        counted = any(each.applied or each.duplicates or each.counted for each in casts)
        return not counted and any(each.outcome == "unknown" for each in casts)
