"""The flusher's copy of the polls is exact at the version it says, whatever is counted while it copies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.cluster import entry
from quorate.cluster.entry import Command, CreatePoll, DeletePoll, FormCluster, Seen, SetPollState
from quorate.cluster.flush import mirror
from quorate.cluster.flush.mirror import Changes, Mirror, Sized, sized
from quorate.cluster.fsm import StateMachine
from quorate.sinks.sink import Fence
from tests.unit.flush.commands import poll, votes

OPTIONS = ["a", "b", "c", "d", "e", "f"]
POLLS = {"p": ["a", "b", "c"], "q": ["c", "d"], "r": ["a", "e", "f"], "s": []}


def create_poll(id: str) -> CreatePoll:
    return poll(id, POLLS[id], write_ins=not POLLS[id])


def deletion(id: str) -> list[Command]:
    return [SetPollState(id, "closed"), SetPollState(id, "archived"), DeletePoll(id, None)]


def one(command: Command) -> list[Command]:
    return [command]


cast_shared = st.builds(votes, st.sampled_from(OPTIONS), st.integers(1, 3))
cast_named = st.sampled_from(list(POLLS)).flatmap(
    lambda id: st.builds(votes, st.sampled_from(POLLS[id] or ["x", "y", "z"]), st.integers(1, 3), poll=st.just(id))
)
move = st.builds(SetPollState, st.sampled_from(list(POLLS)), st.sampled_from(["open", "closed"]))
create = st.sampled_from(list(POLLS)).map(create_poll)
delete = st.sampled_from(list(POLLS)).map(deletion)
anew = st.builds(  # under a name that may have been used
    poll, st.sampled_from(list(POLLS)), st.lists(st.sampled_from(OPTIONS), min_size=2, max_size=3, unique=True)
)
single = st.one_of(cast_shared, cast_named, move, create, anew).map(one)
groups = st.lists(single | delete, max_size=3)
commands = groups.map(lambda groups: [each for group in groups for each in group])


class Counter:
    """A state machine, what changed in it, and what every poll held at each version."""

    def __init__(self) -> None:
        self.state, self.changes, self.time_ms = StateMachine(), Changes(), 0
        self.history: dict[int, dict[str, dict[str, int]]] = {}
        self.creations: dict[int, dict[str, int]] = {}
        self.state.raise_level(entry.encode_raise(1))
        self.apply(FormCluster("c1", b"k" * 16, 1000))

    def apply(self, *commands: Command) -> None:
        self.time_ms += 1
        knows: list[Command] = [Seen(self.state.newest_again)]
        batch = entry.encode_batch([*knows, *commands])
        self.changes.add(self.state.apply(entry.encode_entry(self.time_ms, [batch])))
        self.history[self.state.version] = {view.id: self.state.results(view.id) or {} for view in self.state.polls()}
        self.creations[self.state.version] = {view.id: view.creation for view in self.state.polls()}


@settings(max_examples=200)
@given(st.data())
def test_every_document_is_some_prefix_of_the_log(data: st.DataObject) -> None:
    """Everything may change between any two steps of the flusher: taking, looking up, copying a part."""
    counter = Counter()

    def meanwhile() -> None:
        for command in data.draw(commands):
            counter.apply(command)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "VALUES_PER_TURN", data.draw(st.integers(1, 4)) * mirror.VALUES_A_POLL)
        patch.setattr(mirror, "VALUES_AT_ONCE", data.draw(st.sampled_from([1, 1_000])))
        counter.apply(*map(create_poll, data.draw(st.sets(st.sampled_from(list(POLLS)), min_size=2))))
        counter.changes = Changes()  # a leadership begins
        meanwhile()
        copies = Mirror([sized(view) for view in counter.state.polls()])
        for _ in range(data.draw(st.integers(1, 4))):
            meanwhile()
            flush(counter, copies, meanwhile)
    flush(counter, copies, lambda: None)
    assert 0 == copies.behind
    assert counter.history[counter.state.version] == copies._results


def flush(counter: Counter, copies: Mirror, meanwhile: object) -> None:
    assert callable(meanwhile)
    taken = counter.changes.take(counter.state)
    for id in taken.gone:
        copies.remove(id)
    for changed in taken.polls:
        copies.poll_changed(changed)
    meanwhile()
    for option in taken.options:
        for id in counter.state.polls_with(option):
            copies.option_changed(id, option)
    while asked := copies.next_slice():
        meanwhile()
        copied = counter.changes.copy(counter.state, asked)
        for id in {request.id for request in asked} - {each.view.id for each in copied.polls}:
            copies.remove(id)
        for document in copies.update(copied):
            assert document.creation == counter.creations[copied.version][document.id]
            assert counter.history[copied.version][document.id] == document.results
            assert list(document.results) == list(document.options)
            copies.written(document.id, str(Fence(1, 1, document.version)))


def test_a_hot_poll_of_many_options_is_not_copied_whole_each_time() -> None:
    counter = Counter()
    options = [f"o{i}" for i in range(1000)]
    counter.apply(poll("big", options))
    copies = Mirror([Sized("big", 1000)])
    flush(counter, copies, lambda: None)
    counter.apply(votes("o7"))
    taken = counter.changes.take(counter.state)
    for option in taken.options:
        copies.option_changed("big", option)
    part = counter.changes.copy(counter.state, copies.next_slice()).polls[0]
    assert ({"o7": 1}, False) == (part.results, part.whole)


def test_of_very_many_options_the_loop_copies_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll of 100,000 options was read in one turn of the loop, which took it 10 ms."""
    counter, options = Counter(), [f"o{i}" for i in range(3_000)]
    counter.apply(poll("big", options))
    counter.changes = Changes()
    copies = Mirror([Sized("big", 3_000)])
    for changed in (None, options[:2_000]):
        for option in changed or ():
            copies.option_changed("big", option)
        counter.apply(votes("o7"))
        with monkeypatch.context() as patch:
            for name in ("results", "results_of"):
                patch.setattr(StateMachine, name, None)
            copied = counter.changes.copy(counter.state, copies.next_slice())
            assert [changed is None] == [part.whole for part in copied.polls]
        counter.apply(votes("o8"))
        (document,) = copies.update(copied)
        assert counter.history[copied.version]["big"] == document.results
        copies.written("big", "1")


def test_a_slice_is_bounded_but_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "VALUES_PER_TURN", 50)
    copies = Mirror([Sized(id, size) for id, size in (("big", 50), ("a", 3), ("b", 3), ("c", 3))])
    assert ["big"] == [asked.id for asked in copies.next_slice()]
    copies.leave_out("big")
    assert ["a", "b"] == [asked.id for asked in copies.next_slice()]
