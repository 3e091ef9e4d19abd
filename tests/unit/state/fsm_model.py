"""A model of the state machine, slow and obvious: dictionaries, one vote at a time, and each poll has its own counts.

It follows the rules, not the code: a vote without a poll is added to each open poll that lists its option, ids are in
plain dictionaries by generation, sessions remember every request, and each poll that ever was is another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quorate.cluster import entry
from quorate.cluster.entry import Choice
from quorate.vote import TOTAL_MAX, WEIGHT_MAX, Outcome

KEPT_MS = 600_000  # of tombstones
Meaning = tuple[int, tuple[int, ...]]  # a fingerprint, and the numbers of the polls that it is about

ALLOWED = {("draft", "open"), ("draft", "archived"), ("open", "closed"), ("closed", "open"), ("closed", "archived")}


@dataclass
class Poll:
    command: entry.CreatePoll  # as it was created
    state: str
    closes_at_ms: int | None
    counts: dict[str, int]
    title: str
    creation: int
    again: bool  # a deleted poll of this id was remembered
    since_ms: int


@dataclass
class Session:
    epoch: int = 0
    batches: list[Meaning] = field(default_factory=list)  # from sequence 1 on


@dataclass
class Forgotten:
    epoch: int
    forgotten_ms: int
    expires: int


@dataclass
class Stone:
    creation: int
    deleted_ms: int
    expires: int


@dataclass
class Ids:
    """Those of one share of the dedup window."""

    window: int
    accepted: int = 0
    current: dict[bytes, Meaning] = field(default_factory=dict)
    closed: list[tuple[int, dict[bytes, Meaning]]] = field(default_factory=list)  # (forgotten at so many accepted, ids)

    def held(self) -> int:
        return len(self.current) + sum(len(ids) for _, ids in self.closed)

    def find(self, id: bytes) -> Meaning | None:
        for ids in [self.current, *(ids for _, ids in self.closed)]:
            if id in ids:
                return ids[id]
        return None

    def accept(self, id: bytes, meaning: Meaning) -> None:
        self.current[id] = meaning
        self.accepted += 1
        self.closed = [(expires, ids) for expires, ids in self.closed if expires > self.accepted]
        if len(self.current) == self.window:
            self._close()

    def set_window(self, window: int) -> None:
        if self.current:
            self._close()
        self.closed = [(max(expires, self.accepted + window), ids) for expires, ids in self.closed]
        self.window = window

    def _close(self) -> None:
        self.closed.append((self.accepted + self.window, self.current))
        self.current = {}


class Model:
    def __init__(self, window: int, share_window: int = 5) -> None:
        self.time_ms = 0
        self.common = Ids(window)
        self.shares = {0: self.common}
        self.share_window = share_window
        self.share = 0  # that the votes which come now are in
        self.polls: dict[str, Poll] = {}
        self.initial_results: dict[str, list[int]] = {}  # of imported polls
        self.sessions: dict[str, Session] = {}
        self.counted = 0
        self.generation = 1
        self.creations = 0
        self.stones: dict[str, Stone] = {}
        self.forgotten_ms = 0
        self.seen = 0  # what the proposer of the batch knew
        self.forgotten: dict[str, Forgotten] = {}
        self.emptied: dict[str, Forgotten] = {}  # producers that counted nothing

    # ---- time and polls ---------------------------------------------------------------------------------------------

    def begin(self, time_ms: int) -> None:
        self.time_ms = max(self.time_ms, time_ms)
        for poll in self.polls.values():
            if poll.state == "open" and poll.closes_at_ms is not None and poll.closes_at_ms <= self.time_ms:
                poll.state = "closed"

    def create(self, command: entry.CreatePoll) -> str:
        known = self.polls.get(command.id)
        if known is not None:
            if command.imported:
                return self.import_again(known, command)
            return "same" if same(known.command, command) else "conflict"
        enough = command.write_ins or len(command.options) >= 2
        late = command.closes_at_ms is not None and command.closes_at_ms <= self.time_ms
        if not enough or late or len(set(command.options)) < len(command.options) or command.state == "archived":
            return "invalid"
        initial_results = command.initial_results or [0] * len(command.options)
        if command.imported and command.id in self.stones:
            return "deleted"
        if self.counted + sum(initial_results) > TOTAL_MAX:
            return "too_large"
        self.counted += sum(initial_results)
        self.creations += 1
        counts = dict(zip(command.options, initial_results, strict=True))
        again = command.id in self.stones
        self.polls[command.id] = Poll(
            command,
            command.state,
            command.closes_at_ms,
            counts,
            command.title,
            self.creations,
            again,
            self.time_ms if again else self.forgotten_ms,
        )
        if command.imported:
            self.initial_results[command.id] = initial_results
        return "created"

    def import_again(self, known: Poll, command: entry.CreatePoll) -> str:
        before = self.initial_results.get(command.id)
        after = command.initial_results or [0] * len(command.options)
        if before in (None, after) or known.state == "archived" or known.command.options != command.options:
            return "same"
        assert before is not None
        if self.counted + sum(after) - sum(before) > TOTAL_MAX:
            return "too_large"
        self.counted += sum(after) - sum(before)
        self.initial_results[command.id] = after
        for option, old, new in zip(command.options, before, after, strict=True):
            known.counts[option] += new - old
        return "changed"

    def set_state(self, command: entry.SetPollState) -> str:
        poll = self.polls.get(command.id)
        if poll is None:
            return "deleted" if command.id in self.stones else "unknown_poll"
        if poll.again and self.seen < poll.creation:
            return "deleted"
        if poll.state == command.state:
            return "same"
        if (poll.state, command.state) not in ALLOWED:
            return "bad_transition"
        poll.state = command.state
        if poll.state == "open" and poll.closes_at_ms is not None and poll.closes_at_ms <= self.time_ms:
            poll.closes_at_ms = None
        return "changed"

    def change(self, command: entry.ChangePoll) -> str:
        poll = self.polls.get(command.id)
        if poll is None:
            return "deleted" if command.id in self.stones else "unknown_poll"
        if poll.again and self.seen < poll.creation:
            return "deleted"
        new = [option for option in command.add_options if option not in poll.counts]
        title = poll.title if command.title is None else command.title
        closes_at_ms = command.closes_at_ms if command.changes_closing else poll.closes_at_ms
        if not new and title == poll.title and closes_at_ms == poll.closes_at_ms:
            return "same"
        if poll.state == "archived":
            return "archived"
        moved = closes_at_ms != poll.closes_at_ms
        if (moved and closes_at_ms is not None and closes_at_ms <= self.time_ms) or len(set(new)) < len(new):
            return "invalid"
        poll.title, poll.closes_at_ms = title, closes_at_ms
        poll.counts.update(dict.fromkeys(new, 0))
        return "changed"

    def delete(self, command: entry.DeletePoll) -> str:
        poll, stone = self.polls.get(command.id), self.stones.get(command.id)
        if poll is None:
            return "unknown_poll" if stone is None else "deleted"
        if command.creation is None and stone is not None:
            return "deleted"  # nobody can tell which one is meant
        if command.creation not in (None, poll.creation):
            return "deleted"
        if poll.state not in ("draft", "archived"):
            return "bad_transition"
        del self.polls[command.id]
        own = self.initial_results.pop(command.id, [])
        self.counted -= sum(poll.counts.values()) if poll.command.write_ins else sum(own)
        self.stones[command.id] = Stone(poll.creation, self.time_ms, self.accepted + self.window)
        return "removed"

    def forget_tombstones(self, polls: list[tuple[str, int]]) -> int:
        gone = [
            id
            for id, stone in self.stones.items()
            if (id, stone.creation) in polls
            and self.accepted >= stone.expires
            and self.time_ms - stone.deleted_ms >= KEPT_MS
        ]
        for id in gone:
            self.forgotten_ms = max(self.forgotten_ms, self.stones.pop(id).deleted_ms)
        return len(gone)

    def creation_of(self, id: str) -> int:
        if id in self.polls:
            return self.polls[id].creation
        return self.stones[id].creation if id in self.stones else 0

    def meaning(self, fingerprint: int, choices: list[Choice]) -> Meaning:
        """What is compared when it is sent again."""
        polls = sorted({choice.poll for choice in choices if choice.poll is not None})
        return fingerprint, tuple(creation for creation in map(self.creation_of, polls) if creation)

    # ---- votes ------------------------------------------------------------------------------------------------------

    def where(self, choice: Choice) -> tuple[Outcome, list[Poll]]:
        """The outcome of a new vote, and the polls that it would count in."""
        if not 1 <= choice.weight <= WEIGHT_MAX:
            return Outcome.INVALID, []
        if choice.poll is not None:
            return self._in_poll(choice, choice.poll)
        listing = [p for p in self.polls.values() if choice.option in p.counts and not p.command.write_ins]
        open_ones = [p for p in listing if p.state == "open"]
        if open_ones:
            return Outcome.APPLIED, open_ones
        return (Outcome.CLOSED if listing else Outcome.UNKNOWN_OPTION), []

    def _in_poll(self, choice: Choice, id: str) -> tuple[Outcome, list[Poll]]:
        poll = self.polls.get(id)
        if poll is None:
            return Outcome.DELETED if id in self.stones else Outcome.UNKNOWN_POLL, []
        if poll.again and self.seen < poll.creation:
            return Outcome.DELETED, []
        if poll.state != "open":
            return Outcome.CLOSED, []
        known = choice.option in poll.counts or poll.command.write_ins
        return (Outcome.APPLIED, [poll]) if known else (Outcome.UNKNOWN_OPTION, [])

    def count(self, choice: Choice, votes: int) -> Outcome:
        outcome, polls = self.where(choice)
        if outcome == Outcome.APPLIED and self.counted + votes * choice.weight > TOTAL_MAX:
            outcome = Outcome.TOO_LARGE
        if outcome == Outcome.APPLIED:
            self.counted += votes * choice.weight
            for poll in polls:
                poll.counts[choice.option] = poll.counts.get(choice.option, 0) + votes * choice.weight
        return outcome

    def vote(self, id: bytes, choice: Choice) -> Outcome:
        found, meaning = self.find(id), self.meaning(choice.fingerprint, [choice])
        if found is not None:
            return Outcome.DUPLICATE if found == meaning else Outcome.CONFLICT
        outcome = self.count(choice, 1)
        if outcome == Outcome.APPLIED:
            self.accept(id, meaning)
        return outcome

    def _whole(self, choices: list[Choice], sums: list[tuple[int, int]]) -> Outcome:
        for choice in choices:
            outcome, _ = self.where(choice)
            if outcome != Outcome.APPLIED:
                return outcome
        if self.counted + sum(votes * choices[pick].weight for pick, votes in sums) > TOTAL_MAX:
            return Outcome.TOO_LARGE
        for pick, votes in sums:
            self.count(choices[pick], votes)
        return Outcome.APPLIED

    def once(self, command: entry.CastOnce) -> Outcome:
        found, meaning = self.find(command.key), self.meaning(command.fingerprint, command.choices)
        if found is not None:
            return Outcome.DUPLICATE if found == meaning else Outcome.CONFLICT
        outcome = self._whole(command.choices, command.sums)
        if outcome == Outcome.APPLIED:
            self.accept(command.key, meaning)
        return outcome

    # ---- sessions ---------------------------------------------------------------------------------------------------

    def open_producer(self, producer: str, *, anew: bool = False) -> tuple[int, int] | None:
        """None: it was forgotten."""
        if producer not in self.sessions and producer in self.forgotten and not anew:
            return None
        name = self.forgotten.get(producer) or self.emptied.get(producer)
        session = self.sessions.setdefault(producer, Session(name.epoch if name else 0))
        session.epoch += 1
        return session.epoch, len(session.batches)

    def forget_producer(self, command: entry.ForgetProducer) -> str:
        for name, its in list(self.forgotten.items()):  # in order, as they were forgotten
            if self.accepted < its.expires or self.time_ms - its.forgotten_ms < KEPT_MS:
                break
            del self.forgotten[name]
        producer, is_known = command.producer, command.producer in self.forgotten or command.producer in self.emptied
        session = self.sessions.get(producer)
        if session is None:
            return "gone" if is_known else "unknown"
        if (command.epoch is None and is_known) or command.epoch not in (None, session.epoch):
            return "gone"
        del self.sessions[producer]
        self.forgotten.pop(producer, None)
        self.emptied.pop(producer, None)
        names = self.forgotten if session.batches or session.epoch > 1 else self.emptied
        names[producer] = Forgotten(session.epoch, self.time_ms, self.accepted + self.window)
        return "forgotten"

    def batch(self, command: entry.CastSession) -> Outcome:
        session = self.sessions.get(command.producer)
        if session is None and command.producer in self.forgotten:
            return Outcome.DELETED
        if session is None or command.epoch > session.epoch:
            return Outcome.INVALID
        last = len(session.batches)
        if command.epoch < session.epoch:
            return Outcome.EXPIRED_ID
        if not 1 <= command.sequence <= last + 1:
            return Outcome.INVALID
        if command.sequence <= last - 5:
            return Outcome.EXPIRED_ID
        if command.sequence <= last:
            same = session.batches[command.sequence - 1] == self.meaning(command.fingerprint, command.choices)
            return Outcome.DUPLICATE if same else Outcome.CONFLICT
        meaning = self.meaning(command.fingerprint, command.choices)
        outcome = self._whole(command.choices, command.sums)
        if outcome == Outcome.APPLIED:
            session.batches.append(meaning)
        return outcome

    # ---- ids --------------------------------------------------------------------------------------------------------

    @property
    def window(self) -> int:
        return self.common.window

    @property
    def accepted(self) -> int:
        return sum(ids.accepted for ids in self.shares.values())

    def find(self, id: bytes) -> Meaning | None:
        return next((found for ids in self.shares.values() if (found := ids.find(id)) is not None), None)

    def accept(self, id: bytes, meaning: Meaning) -> None:
        self.shares.setdefault(self.share, Ids(self.share_window)).accept(id, meaning)

    def set_window(self, window: int) -> None:
        if window == self.window:
            return
        self.common.set_window(window)
        for stone in self.stones.values():
            stone.expires = max(stone.expires, self.accepted + window)


def same(one: entry.CreatePoll, other: entry.CreatePoll) -> bool:
    def key(poll: entry.CreatePoll) -> object:
        zeros = [0] * len(poll.options)
        return poll.title, poll.options, poll.state, poll.closes_at_ms, poll.write_ins, poll.initial_results or zeros

    return key(one) == key(other)
