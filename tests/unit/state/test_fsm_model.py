"""The state machine against a slow, obvious model, through random histories with snapshots at random moments."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quorate.cluster import entry
from quorate.cluster.entry import Choice, Command, Result
from quorate.cluster.fsm import StateMachine
from quorate.cluster.state import shares, voting
from quorate.cluster.state.dedup import CLOSED_MAX
from quorate.vote import TOTAL_MAX
from tests.unit.state.fsm_model import Model
from tests.unit.state.fsm_script import KEY, cast, choice, id_hash

OPTIONS = ["a", "b", "c", "d", "e", "f"]
POLLS = ["p", "q", "r", "s", "t"]
STATES: list[entry.State] = ["draft", "open", "closed", "archived"]

polls = st.sampled_from(POLLS)
choices = st.builds(
    choice,
    st.sampled_from([*OPTIONS, *OPTIONS, "new", "newer"]),
    st.none() | polls,
    st.sampled_from([1, 1, 1, 1, 2, 2, 2, 1_000_000, 0]),
)
ids = st.integers(0, 12).map(str)
votes = st.lists(st.tuples(st.none() | ids | ids, choices), max_size=12)
sums = st.lists(st.tuples(choices, st.integers(1, 3)), max_size=2, unique_by=lambda pair: pair[0])
creations = st.builds(
    entry.CreatePoll,
    polls,
    st.sampled_from(["", "", "title"]),
    st.lists(st.sampled_from(OPTIONS), min_size=2, max_size=3, unique=True)
    | st.lists(st.sampled_from(OPTIONS), max_size=3),
    st.sampled_from(["draft", "open", "open", "open", "closed", "archived"]),
    st.none() | st.integers(5, 50),
    st.sampled_from([False, False, True]),
)
imports = st.builds(
    lambda id, options, first: entry.CreatePoll(
        id, "", options, "open", None, False, [first, *range(1, len(options))], True
    ),
    polls,
    st.lists(st.sampled_from(OPTIONS), min_size=2, max_size=3, unique=True),
    st.sampled_from([0, 7, 9]),
)
changes = st.builds(
    lambda id, title, options, closing: entry.ChangePoll(id, title, options, *closing),
    polls,
    st.sampled_from([None, None, "", "other"]),
    st.lists(st.sampled_from([*OPTIONS, "late"]), max_size=2),
    st.just((False, None)) | st.tuples(st.just(True), st.none() | st.integers(5, 60)),
)


in_shares = st.sampled_from([0, 0, 1, 2])  # of the dedup window
late = st.sampled_from([0, 0, 0, 1, 100])  # how many polls that took a used name a proposer has not seen

SHARE_WINDOW = 5


@pytest.fixture(scope="module", autouse=True)
def small_numbers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shares, "SHARE_WINDOW", SHARE_WINDOW)
        patch.setattr(voting, "TOGETHER", 2)
        yield


class Histories(RuleBasedStateMachine):
    """Three machines that must agree with the model.

    `machine` is never restarted, `restored` is replaced by a copy from its bytes now and then, and `single` gets the
    votes of a command one by one.
    """

    @initialize(
        window=st.integers(1, 8),
        full=st.sampled_from([False, False, False, True]),
        polls=st.lists(creations | imports, min_size=8, max_size=8),
    )
    def form(self, window: int, full: bool, polls: list[entry.CreatePoll]) -> None:
        self.time_ms = 0
        self.machine, self.restored, self.single = StateMachine(), StateMachine(), StateMachine()
        self.model = Model(window, SHARE_WINDOW)
        for machine in (self.machine, self.restored, self.single):
            machine.raise_level(entry.encode_raise(1))
        self.apply(entry.FormCluster("c", KEY, window))
        if full:  # but for two votes of the greatest weight, and a few
            self.create_poll(entry.CreatePoll("full", "", ["x", "y"], "open", None, False, [TOTAL_MAX - 2_000_010, 0]))
        for poll in polls:
            self.create_poll(poll)
        self.open_producer("x")

    def apply(self, *commands: Command, seen: int = 0, share: int = 0) -> list[Result]:
        """Apply one batch. `seen`: which of the polls that took a used name its proposer knew."""
        self.time_ms += 1
        self.model.seen, self.model.share = seen, share
        knew: list[Command] = [entry.Seen(seen)] if seen else []
        knew += [entry.InShare(share)] if share else []
        data = entry.encode_entry(self.time_ms, [entry.encode_batch([*knew, *commands])])
        self.model.begin(self.time_ms)
        applied = self.machine.apply(data)
        assert applied == self.restored.apply(data)
        for parts in [[part] for command in commands for part in one_by_one(command)] or [[]]:
            self.single.apply(entry.encode_entry(self.time_ms, [entry.encode_batch([*knew, *parts])]))
        return applied.results[0][len(knew) :]

    def seen(self, late: int) -> int:
        return max(0, self.machine.newest_again - late)

    # ---- what happens -----------------------------------------------------------------------------------------------

    @rule(command=creations | imports)
    def create_poll(self, command: entry.CreatePoll) -> None:
        [result] = self.apply(command)
        assert isinstance(result, entry.PollResult)
        assert self.model.create(command) == result.what

    @rule(command=changes, late=late)
    def change_poll(self, command: entry.ChangePoll, late: int) -> None:
        [result] = self.apply(command, seen=self.seen(late))
        assert isinstance(result, entry.PollResult)
        assert self.model.change(command) == result.what

    @rule(id=polls, state=st.sampled_from(STATES), late=late)
    def set_state(self, id: str, state: entry.State, late: int = 0) -> None:
        command = entry.SetPollState(id, state)
        [result] = self.apply(command, seen=self.seen(late))
        assert isinstance(result, entry.PollResult)
        assert self.model.set_state(command) == result.what

    @rule(id=polls, of=st.sampled_from([None, None, 0, 0, 1, -1]))
    def delete_poll(self, id: str, of: int | None) -> None:
        """`of`: the number is that of this poll, of an earlier or later one, or there is none."""
        command = entry.DeletePoll(id, None if of is None else self.model.creation_of(id) - of)
        [result] = self.apply(command)
        assert isinstance(result, entry.PollResult)
        assert self.model.delete(command) == result.what

    @rule(id=polls)
    def archive_and_delete(self, id: str) -> None:
        for state in STATES[2:]:
            self.set_state(id, state)
        self.delete_poll(id, 0)

    @rule(ids=st.lists(polls, max_size=4), older=st.sampled_from([0, 0, 0, 1]))
    def forget_tombstones(self, ids: list[str], older: int) -> None:
        stones = [(id, self.model.stones[id].creation - older) for id in ids if id in self.model.stones]
        assert [entry.Done(self.model.forget_tombstones(stones))] == self.apply(entry.ForgetTombstones(stones))

    @rule(commands=st.lists(votes, min_size=1, max_size=4), late=late, share=in_shares)
    def cast_votes(self, commands: list[list[tuple[str | None, Choice]]], late: int, share: int) -> None:
        results = self.apply(*map(cast, commands), seen=self.seen(late), share=share)
        for result, votes in zip(results, commands, strict=True):
            assert isinstance(result, entry.VotesResult)
            expected = [self.model.vote(id_hash(id), choice) for id, choice in votes if id is not None]
            plain = [self.model.count(choice, 1) for id, choice in votes if id is None]
            assert (expected, plain) == (list(result.outcomes), list(result.plain))

    @rule(key=ids, sums=sums, fingerprint=st.integers(0, 2), late=late, share=in_shares)
    def cast_once(self, key: str, sums: list[tuple[Choice, int]], fingerprint: int, late: int, share: int) -> None:
        picks = [(pick, votes) for pick, (_, votes) in enumerate(sums)]
        command = entry.CastOnce(id_hash(key), fingerprint, [choice for choice, _ in sums], picks)
        [result] = self.apply(command, seen=self.seen(late), share=share)
        assert isinstance(result, entry.WholeResult)
        assert self.model.once(command) == result.outcome

    @rule(producer=st.sampled_from("xy"), anew=st.booleans())
    def open_producer(self, producer: str, anew: bool = False) -> None:
        [result] = self.apply(entry.RenewProducer(producer) if anew else entry.OpenProducer(producer))
        expected = self.model.open_producer(producer, anew=anew)
        if expected is None:
            assert isinstance(result, entry.ForgetResult)
        else:
            assert isinstance(result, entry.ProducerResult)
            assert expected == (result.epoch, result.sequence)

    @rule(producer=st.sampled_from("xyz"), of=st.sampled_from([None, 0, 1]))
    def forget_producer(self, producer: str, of: int | None) -> None:
        session = self.model.sessions.get(producer)
        command = entry.ForgetProducer(producer, None if of is None else (session.epoch if session else 1) - of)
        [result] = self.apply(command)
        assert isinstance(result, entry.ForgetResult)
        assert self.model.forget_producer(command) == result.what

    @rule(
        producer=st.sampled_from("xxxyz"),
        behind=st.sampled_from([0, 0, 0, 0, 1, -1]),
        back=st.sampled_from([-1, -1, 0, 1, 2, 3, 4, 5, 6, -2]),
        sums=sums,
        fingerprint=st.integers(0, 1),
        late=late,
    )
    def cast_session(
        self, producer: str, behind: int, back: int, sums: list[tuple[Choice, int]], fingerprint: int, late: int = 0
    ) -> None:
        session = self.model.sessions.get(producer)
        epoch, last = (session.epoch, len(session.batches)) if session else (1, 0)
        picks = [(pick, votes) for pick, (_, votes) in enumerate(sums)]
        command = entry.CastSession(
            producer, epoch - behind, last - back, fingerprint, [choice for choice, _ in sums], picks
        )
        [result] = self.apply(command, seen=self.seen(late))
        assert isinstance(result, entry.WholeResult)
        assert self.model.batch(command) == result.outcome

    @rule(batches=st.integers(1, 7), fingerprint=st.integers(0, 1))
    def session_goes_on(self, batches: int, fingerprint: int) -> None:
        for number in range(batches):
            self.cast_session("x", 0, -1, [], (fingerprint + number) % 2)

    @precondition(lambda self: len(self.model.common.closed) < CLOSED_MAX)
    @rule(size=st.integers(1, 20))
    def set_window(self, size: int) -> None:
        assert [entry.Done(size)] == self.apply(entry.SetDedupWindow(size))
        self.model.set_window(size)

    @rule(step_ms=st.sampled_from([5, -7, 700_000]))
    def time_goes_on(self, step_ms: int) -> None:
        self.time_ms += step_ms
        self.apply()

    @rule(data=st.binary(max_size=20))
    def garbage_comes(self, data: bytes) -> None:
        assert self.machine.apply(data) == self.restored.apply(data)

    @rule()
    def restart_from_a_snapshot(self) -> None:
        self.restored = StateMachine.restore(self.restored.freeze().encode())

    # ---- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def polls_agree(self) -> None:
        for id in POLLS:
            expected = self.model.polls.get(id)
            if expected is None:
                assert self.machine.poll(id) is None
                continue
            for machine in (self.machine, self.restored, self.single):
                view = machine.poll(id)
                assert view is not None
                shown = (view.state, view.closes_at_ms, view.title, view.creation, view.since_ms)
                told = (expected.state, expected.closes_at_ms, expected.title, expected.creation, expected.since_ms)
                assert told == shown
                assert list(expected.counts.items()) == list((machine.results(id) or {}).items())
                assert list(view.options) == list(expected.counts)

    @invariant()
    def what_was_deleted_agrees(self) -> None:
        expected = {id: (s.creation, s.deleted_ms, s.expires) for id, s in self.model.stones.items()}
        for machine in (self.machine, self.restored, self.single):
            stones = machine.tombstones()
            assert expected == {stone.id: (stone.creation, stone.deleted_ms, stone.expires) for stone in stones}

    @invariant()
    def nothing_is_left_of_what_was_deleted(self) -> None:
        for machine in (self.machine, self.restored):
            listed = {o for view in machine.polls() if not view.write_ins for o in view.options}
            names = machine.freeze().names
            assert sorted(listed) == sorted(filter(None, names))
            assert not names or names[-1]

    @invariant()
    def ids_agree(self) -> None:
        common = self.model.common
        held = {share: ids.held() for share, ids in self.model.shares.items() if ids.accepted}
        for machine in (self.machine, self.restored, self.single):
            dedup = machine.dedup()
            assert (common.window, len(common.current)) == (dedup.window, dedup.accepted)
            assert held == {share: ids for share, ids in dedup.shares.items() if ids}
            assert sum(held.values()) == dedup.held

    @invariant()
    def digests_agree(self) -> None:
        assert self.machine.digest() == self.restored.digest()


def one_by_one(command: Command) -> list[Command]:
    if not isinstance(command, entry.CastVotes):
        return [command]
    ids, picks, choices = command.ids, command.picks, command.choices
    with_ids: list[Command] = [
        entry.CastVotes(choices, ids[8 * i : 8 * i + 8], picks[4 * i : 4 * i + 4]) for i in range(len(ids) // 8)
    ]
    return with_ids + [entry.CastVotes(choices, plain=[item]) for item in command.plain]


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=100, stateful_step_count=50)
