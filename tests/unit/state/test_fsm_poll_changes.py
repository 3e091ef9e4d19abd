"""What may change in a poll: options are added, and the title and the closing time change. All of it, or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import ChangePoll, PollResult, Refused
from quorate.cluster.fsm import StateMachine
from quorate.cluster.state import polls as rules
from quorate.cluster.state import tally
from quorate.vote import OPTION_BYTES_MAX, OPTION_TEXT_PER_POLL_BYTES_MAX, OPTIONS_PER_POLL_MAX, TITLE_BYTES_MAX
from tests.unit.state.fsm_script import Script

KEEP = object()
TEXTS_THAT_FIT = OPTION_TEXT_PER_POLL_BYTES_MAX // OPTION_BYTES_MAX  # options of full length, in a poll without others


def change(id: str = "mood", *options: str, title: str | None = None, closes_at_ms: Any = KEEP) -> ChangePoll:
    kept = closes_at_ms is KEEP
    return ChangePoll(id, title, list(options), not kept, None if kept else closes_at_ms)


def begun(history: str) -> Script:
    """A cluster of level 1 with this history."""
    script = Script()
    script.machine.raise_level(entry.encode_raise(1))
    script.play(history)
    return script


def result_of(script: Script, command: ChangePoll) -> PollResult:
    result = script.do(command)
    assert isinstance(result, PollResult)
    return result


def shown(script: Script, id: str = "mood") -> tuple[Any, ...]:
    view = script.machine.poll(id)
    assert view is not None
    return view.title, view.options, view.state, view.closes_at_ms, script.machine.results(id)


def restored(script: Script) -> Script:
    again = Script(StateMachine.restore(script.machine.freeze().encode()))
    again.time_ms = script.time_ms
    return again


# ---- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "then", "expected"),
    [
        ("poll mood a b; vote 1 a", "vote 2 c; vote 3 c in mood", {"a": 1, "b": 0, "c": 2}),
        ("poll other c d; poll mood a b; vote 1 c x5", "", {"a": 0, "b": 0, "c": 0}),
        ("poll other c d; poll mood a b; vote 1 c x5", "vote 2 c", {"a": 0, "b": 0, "c": 1}),
        ("poll other c d; poll mood a b; vote 1 c x5; close mood", "open mood; vote 2 c", {"a": 0, "b": 0, "c": 1}),
        ("poll other c d; draft mood a b", "vote 1 c; open mood; vote 2 c", {"a": 0, "b": 0, "c": 1}),
        ("poll other c d; poll mood a b", "vote 1 c; close mood; vote 2 c", {"a": 0, "b": 0, "c": 1}),
        ("import mood a=3 b=4", "vote 1 c", {"a": 3, "b": 4, "c": 1}),
        ("writein mood a; vote 1 x in mood", "vote 2 c in mood; vote 3 y in mood", {"a": 0, "x": 1, "c": 1, "y": 1}),
    ],
)
def test_an_option_starts_from_zero_when_it_is_added(history: str, then: str, expected: dict[str, int]) -> None:
    script = begun(history)
    state = script.machine.poll("mood").state  # type: ignore[union-attr]
    assert PollResult("changed", state) == result_of(script, change("mood", "c"))
    again = restored(script)
    for each in (script, again):
        each.play(then)
        assert list(expected.items()) == list((each.machine.results("mood") or {}).items())
        assert tuple(expected) == shown(each)[1]
    assert again.machine.digest() == script.machine.digest()


def test_votes_for_the_option_are_taken_from_that_version_on() -> None:
    script = begun("poll mood a b")
    assert "unknown_option" == script.play("vote 1 c")
    script.do(change("mood", "c"))
    assert "applied" == script.play("vote 1 c")
    assert ("mood",) == tuple(script.machine.polls_with("c"))


def test_the_change_is_one_version_and_names_the_poll() -> None:
    script = begun("poll mood a b")
    before = script.machine.version
    applied = script.apply(change("mood", "c", "d", title="How?", closes_at_ms=9_000))
    assert (before + 1, {"mood"}, set()) == (applied.version, applied.polls, applied.options)
    assert ("How?", ("a", "b", "c", "d"), "open", 9_000) == shown(script)[:4]
    assert before + 1 == script.machine.poll("mood").version  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "again",
    [
        change("mood"),
        change("mood", "a"),
        change("mood", "b", "a"),
        change("mood", "a", "a"),
        change("mood", title="How?"),
        change("mood", "b", title="How?", closes_at_ms=9_000),
    ],
)
@pytest.mark.parametrize("then", ["", "close mood", "close mood; archive mood", "at 9000; nothing"])
def test_what_is_so_already_is_no_change(again: ChangePoll, then: str) -> None:
    script = begun("poll mood a b")
    script.do(change("mood", title="How?", closes_at_ms=9_000))
    script.play(then)
    before, version = shown(script), script.machine.poll("mood").version  # type: ignore[union-attr]
    assert PollResult("same", before[2]) == result_of(script, again)
    assert (before, version) == (shown(script), script.machine.poll("mood").version)  # type: ignore[union-attr]


REFUSED: list[tuple[str, ChangePoll, str]] = [
    ("poll other a b", change("mood", "c"), "unknown_poll"),
    ("poll mood a b; close mood; archive mood", change("mood", "c"), "archived"),
    ("poll mood a b; close mood; archive mood", change("mood", title="other"), "archived"),
    ("poll mood a b", change("mood", "c", "d", "c"), "invalid"),
    ("poll mood a b", change("mood", "c", ""), "invalid"),
    ("poll mood a b", change("mood", "c", "d\0"), "invalid"),
    ("poll mood a b", change("mood", "c", "x" * (OPTION_BYTES_MAX + 1)), "too_large"),
    ("poll mood a b", change("mood", "c", title="x" * (TITLE_BYTES_MAX + 1)), "too_large"),
    ("poll mood a b", change("mood", "c", title="other", closes_at_ms=1_000), "invalid"),
    ("poll mood a b; at 5000; nothing", change("mood", "c", closes_at_ms=4_999), "invalid"),
    ("poll mood a b", change("mood", *map(str, range(OPTIONS_PER_POLL_MAX - 1))), "too_large"),
    ("poll mood a b", change("mood", *(f"{i:0256}" for i in range(TEXTS_THAT_FIT))), "too_large"),
]  # fmt: skip


@pytest.mark.parametrize(("history", "command", "expected"), REFUSED)
def test_a_change_that_is_refused_in_part_changes_nothing(history: str, command: ChangePoll, expected: str) -> None:
    script, quiet = begun(history), begun(history)
    result = result_of(script, command)
    assert expected == result.what
    assert result.detail
    quiet.apply()
    quiet.machine.chain = script.machine.chain  # they differ in the bytes of that entry alone
    assert quiet.machine.digest() == script.machine.digest()


def test_a_poll_may_grow_to_its_limits_and_not_beyond() -> None:
    script = begun("poll mood a b")
    assert "changed" == result_of(script, change("mood", *map(str, range(OPTIONS_PER_POLL_MAX - 2)))).what
    assert "same" == result_of(script, change("mood", "a")).what
    assert "too_large" == result_of(script, change("mood", "one more")).what


def test_all_polls_together_have_a_bounded_number_of_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "LISTINGS_MAX", 5)
    script = begun("poll other a b; poll mood a b")
    assert "too_large" == result_of(script, change("mood", "c", "d")).what
    assert "changed" == result_of(script, change("mood", "c")).what
    assert rules.NO_LISTING == result_of(script, change("mood", "d")).detail


def test_a_copy_that_was_taken_before_does_not_change() -> None:
    script = begun("poll mood a b; vote 1 a")
    columns, view = script.machine.columns("mood"), script.machine.poll("mood")
    assert columns is not None
    script.do(change("mood", "c"))
    assert [("a", 1), ("b", 0)] == list(columns.rows(0, len(columns)))
    assert ("a", "b") == view.options  # type: ignore[union-attr]


def test_a_copy_of_a_small_poll_beside_very_many_options_has_its_own_alone() -> None:
    """The totals of two million took the loop a millisecond and 16 MB, for each poll that was copied."""
    others = " ".join(f"o{number}" for number in range(100))
    script = begun(f"vote 1 a; poll mood a b; vote 2 a; vote 3 b in mood; poll other {others}; vote 4 a; vote 5 o7")
    columns = script.machine.columns("mood")
    assert columns is not None
    script.play("vote 6 a")
    assert script.machine.results("mood") == dict(columns.rows(0, len(columns))) | {"a": 3}
    assert not columns.totals


def test_the_poll_as_it_was_created_is_still_the_same_poll() -> None:
    """A script that creates its polls at each start goes on as before."""
    script = begun("poll mood a b")
    script.do(change("mood", "c", title="How?"))
    assert "same" == script.play("poll mood a b")
    assert "conflict" == script.play("poll mood a b c")
    assert ("How?", ("a", "b", "c")) == shown(script)[:2]


# ---- imported polls -------------------------------------------------------------------------------------------------


def test_initial_results_stay_those_of_the_import_and_move_with_the_sink() -> None:
    script = begun("import mood a=3 b=4; vote 1 a")
    script.do(change("mood", "c"))
    script = restored(script)
    assert {"a": 3, "b": 4} == script.machine.initial_results("mood")
    assert "same" == script.play("vote 2 c; import mood a=3 b=4")
    assert "changed" == script.play("import mood a=5 b=4")
    assert ({"a": 6, "b": 4, "c": 1}, {"a": 5, "b": 4}) == (shown(script)[4], script.machine.initial_results("mood"))
    assert "same" == script.play("import mood a=9 b=4 c=9")
    assert {"a": 6, "b": 4, "c": 1} == shown(script)[4]


# ---- closing times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "closes_at_ms", "then", "state"),
    [
        ("poll mood a b", 2_000, "at 1999; nothing", "open"),
        ("poll mood a b", 2_000, "at 2000; nothing", "closed"),
        ("poll mood a b until 2000", 3_000, "at 2000; nothing", "open"),
        ("poll mood a b until 2000", 3_000, "at 3000; nothing", "closed"),
        ("poll mood a b until 3000", 2_000, "at 2000; nothing", "closed"),
        ("poll mood a b until 3000", 2_000, "at 2000; nothing; open mood; at 3000; nothing", "open"),
        ("poll mood a b until 2000", None, "at 9000; nothing", "open"),
        ("poll mood a b until 2000; close mood", 3_000, "open mood; at 2000; nothing", "open"),
        ("poll mood a b until 2000; close mood", 3_000, "open mood; at 3000; nothing", "closed"),
        ("poll mood a b until 2000; at 2000; nothing", 3_000, "open mood; at 3000; nothing", "closed"),
        ("draft mood a b", 3_000, "open mood; at 3000; nothing", "closed"),
        ("draft mood a b until 3000", None, "open mood; at 3000; nothing", "open"),
    ],
)
@pytest.mark.parametrize("snapshot", [False, True])
def test_the_closing_time_is_set_moved_and_taken_away(
    history: str, closes_at_ms: int | None, then: str, state: str, snapshot: bool
) -> None:
    script = begun(history + "; poll other a b until 2500")
    assert "changed" == result_of(script, change("mood", closes_at_ms=closes_at_ms)).what
    script = restored(script) if snapshot else script
    is_open = script.machine.poll("mood").state == "open"  # type: ignore[union-attr]
    due_ms = min(2_500, closes_at_ms or 2_500) if is_open else 2_500
    assert due_ms == script.machine.next_close_ms()
    script.play(then)
    assert state == script.machine.poll("mood").state  # type: ignore[union-attr]


def test_a_closing_time_that_moves_often_leaves_nothing_behind() -> None:
    script = begun("poll mood a b; poll other a b until 9000")
    for closes_at_ms in range(2_000, 2_500):
        script.do(change("mood", closes_at_ms=closes_at_ms))
    assert 2 == len(script.machine._polls._closing)
    assert 2_499 == script.machine.next_close_ms()


# ---- the feature level ----------------------------------------------------------------------------------------------


def test_below_level_1_it_is_refused_as_by_a_program_that_does_not_know_it() -> None:
    script, older = Script(), Script()
    for each in (script, older):
        each.play("poll mood a b")
    assert isinstance(script.do(change("mood", "c")), Refused)
    older.machine.apply(entry.encode_entry(older.time_ms, [b"\x91\x92\x63\x07"]))  # command 99, which nobody knows
    older.machine.chain = script.machine.chain
    assert older.machine.digest() == script.machine.digest()
