"""The life of a poll: creating it, its states, and closing at its closing time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import CreatePoll
from quorate.cluster.fsm import PollView, StateMachine
from quorate.cluster.state.polls import TRANSITIONS
from tests.unit.state.fsm_script import Script, poll, word_of

MOOD = "poll mood happy sad; "


def view(script: Script, id: str = "mood") -> PollView:
    found = script.machine.poll(id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("history", "outcome", "state"),
    [
        (MOOD, "created", "open"),
        ("draft mood happy sad", "created", "draft"),
        (MOOD + "poll mood happy sad", "same", "open"),
        (MOOD + "close mood; poll mood happy sad", "same", "closed"),
        (MOOD + "poll mood happy angry", "conflict", "open"),
        (MOOD + "poll mood sad happy", "conflict", "open"),
        (MOOD + "draft mood happy sad", "conflict", "open"),
        (MOOD + "poll mood happy sad until 9000", "conflict", "open"),
        (MOOD + "import mood happy=1 sad=2", "same", "open"),
        ("import mood happy=1 sad=2; poll mood happy sad", "conflict", "open"),
        ("import mood happy=1 sad=2; import mood happy=1 sad=2", "same", "open"),
        ("import mood happy=1 sad=2; import mood happy=1 angry=2", "same", "open"),
        ("import mood happy=1 sad=2; import mood happy=5 sad=2", "changed", "open"),
        ("import mood happy=1 sad=2; close mood; import mood happy=0 sad=0", "changed", "closed"),
        ("import mood happy=1 sad=2; close mood; archive mood; import mood happy=0 sad=0", "same", "archived"),
        ("writein mood; vote a x in mood; writein mood", "same", "open"),
        # transitions
        ("draft mood a b; open mood", "changed", "open"),
        ("draft mood a b; archive mood", "changed", "archived"),
        ("draft mood a b; close mood", "bad_transition", "draft"),
        (MOOD + "close mood", "changed", "closed"),
        (MOOD + "archive mood", "bad_transition", "open"),
        (MOOD + "draft mood", "bad_transition", "open"),
        (MOOD + "close mood; open mood", "changed", "open"),
        (MOOD + "close mood; archive mood", "changed", "archived"),
        (MOOD + "close mood; draft mood", "bad_transition", "closed"),
        (MOOD + "close mood; archive mood; open mood", "bad_transition", "archived"),
        # the same again is no mistake: a client may not have heard the first answer
        (MOOD + "open mood", "same", "open"),
        (MOOD + "close mood; close mood", "same", "closed"),
        (MOOD + "open lost", "unknown_poll", "open"),
        # closing times
        ("poll mood a b until 2000; at 1999; nothing", "applied", "open"),
        ("poll mood a b until 2000; at 2000; vote u a", "closed", "closed"),
        ("poll mood a b until 2000; vote u a; at 2000; vote u a", "duplicate", "closed"),
        ("poll mood a b until 1000", "invalid", None),
        ("poll mood a b until 2000; at 2000; poll mood a b until 2000", "same", "closed"),
        ("poll mood a b until 2000; close mood; open mood; at 2000; nothing", "applied", "closed"),
        ("poll mood a b until 2000; close mood; at 2000; nothing; open mood; at 9000; nothing", "applied", "open"),
        ("poll mood a b until 2000; at 3000; open mood; at 9000; vote u a", "applied", "open"),
        ("draft mood a b until 2000; at 3000; open mood; at 9000; vote u a", "applied", "open"),
        ("draft mood a b until 5000; at 3000; open mood; at 5000; vote u a", "closed", "closed"),
        # the leader's time never runs backwards
        ("poll mood a b until 2000; at 2000; nothing; at 1000; open mood", "changed", "open"),
        ("at 3000; nothing; at 1000; poll mood a b until 2000", "invalid", None),
    ],
)
def test_polls(history: str, outcome: str, state: str | None) -> None:
    script = Script()
    assert outcome == script.play(history)
    found = script.machine.poll("mood")
    assert state == (None if found is None else found.state)


def test_a_bad_transition_names_both_states_and_what_is_allowed() -> None:
    script = Script()
    script.play(MOOD)
    result = script.do(entry.SetPollState("mood", "archived"))
    assert entry.PollResult("bad_transition", "open", "a poll that is open can become closed, not archived") == result


def test_every_state_leads_only_where_the_table_says() -> None:
    paths: dict[str, str] = {"draft": "", "open": "open p", "closed": "open p; close p", "archived": "archive p"}
    for before, path in paths.items():
        for after, verb in {"draft": "draft p", "open": "open p", "closed": "close p", "archived": "archive p"}.items():
            script = Script()
            script.play(f"draft p a b; {path}")
            allowed = after in TRANSITIONS[before]  # type: ignore[index]  # the keys are the four states
            expected = "same" if before == after else "changed" if allowed else "bad_transition"
            assert (before, after, expected) == (before, after, script.play(verb))
            assert (after if allowed else before) == view(script, "p").state


def test_a_poll_is_shown_as_it_was_made() -> None:
    script = Script()
    script.do(poll("mood", ["b", "a"], "draft", title="How?", closes_at_ms=9_000))
    expected = PollView("mood", "How?", ("b", "a"), "draft", 9_000, False, 1_000, 2, False)
    assert expected == view(script)
    script.time_ms = 1_500
    script.play("vote x y; open mood; vote u a")
    assert replace(expected, state="open", version=4) == view(script)
    assert ["b", "a"] == list(script.machine.results("mood") or ())


def test_a_write_in_shows_as_an_option_and_a_newer_definition() -> None:
    script = Script()
    script.play("writein words a; vote 1 a in words")
    assert (("a",), 2) == (view(script, "words").options, view(script, "words").version)
    script.play("vote 2 b in words; vote 3 b in words")
    assert (("a", "b"), 4) == (view(script, "words").options, view(script, "words").version)


def test_views_do_not_change_afterwards() -> None:
    script = Script()
    script.play(MOOD + "writein words")
    before, results, words = view(script), script.machine.results("mood"), view(script, "words")
    script.play("vote a happy; vote b x in words; close mood")
    assert ("open", {"happy": 0, "sad": 0}, ()) == (before.state, results, words.options)


def test_polls_are_listed_oldest_first_and_by_state() -> None:
    script = Script()
    script.play("poll z a b; poll y a b; draft x a b; close z")
    assert ["z", "y", "x"] == [poll.id for poll in script.machine.polls()]
    assert [["z"], ["y"], ["x"], []] == [
        [poll.id for poll in script.machine.polls(state)] for state in ("closed", "open", "draft", "archived")
    ]
    assert script.machine.poll("lost") is None
    assert script.machine.results("lost") is None


def test_polls_due_together_all_close() -> None:
    script = Script()
    script.play("poll a x y until 3000; poll b x y until 2000; poll c x y until 3000; poll d x y until 3001")
    script.time_ms = 3_000
    assert {"a", "b", "c"} == set(script.apply().polls)
    assert ["closed", "closed", "closed", "open"] == [poll.state for poll in script.machine.polls()]


def test_the_next_closing_time_is_that_of_an_open_poll() -> None:
    script = Script()
    assert script.machine.next_close_ms() is None
    script.play("poll a x y until 3000; poll b x y until 2000; draft c x y until 1500; poll d x y")
    assert 2_000 == script.machine.next_close_ms()
    script.play("close b")
    assert 3_000 == script.machine.next_close_ms()
    script.play("open b")
    assert 2_000 == script.machine.next_close_ms()
    script.play("at 2500; nothing")
    assert 3_000 == script.machine.next_close_ms() == StateMachine.restore(image_of(script)).next_close_ms()
    script.play("at 3000; nothing")
    assert script.machine.next_close_ms() is None


def image_of(script: Script) -> bytes:
    return script.machine.freeze().encode()


def test_imported_polls_remember_their_initial_results() -> None:
    script = Script()
    script.play("import mood happy=3 sad=0; vote a happy; poll day x y")
    assert {"happy": 3, "sad": 0} == script.machine.initial_results("mood")
    assert {"happy": 4, "sad": 0} == script.machine.results("mood")
    assert (True, False) == (view(script).imported, view(script, "day").imported)
    assert script.machine.initial_results("day") is None
    script.do(CreatePoll("words", "", ["a"], "open", None, True, [5], True))
    script.play("vote u b in words")
    assert ({"a": 5}, {"a": 5, "b": 1}) == (script.machine.initial_results("words"), script.machine.results("words"))


def test_importing_again_replaces_the_initial_results_and_keeps_the_votes() -> None:
    script = Script()
    script.play("import mood happy=3 sad=7; vote a happy; vote b sad; close mood; open mood; vote c happy in mood")
    script.play("import mood happy=1 sad=9; vote d happy")
    assert {"happy": 1, "sad": 9} == script.machine.initial_results("mood")
    assert {"happy": 4, "sad": 10} == script.machine.results("mood")
    restored = StateMachine.restore(image_of(script))
    assert {"happy": 4, "sad": 10} == restored.results("mood")
    assert script.machine.digest() == restored.digest()


MANY = [str(i) for i in range(100_001)]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (poll("p", []), "invalid"),
        (poll("p", ["a"]), "invalid"),
        (poll("p", ["a", "b", "a"]), "invalid"),
        (poll("p", ["a", ""]), "invalid"),
        (poll("p", ["a", "b\0"]), "invalid"),
        (poll("", ["a", "b"]), "invalid"),
        (poll("p\0", ["a", "b"]), "invalid"),
        (poll("p", ["a", "b"], "archived"), "invalid"),
        (poll("p", ["a", "b"], "closed"), "created"),
        (poll("p", [], write_ins=True), "created"),
        (poll("p", ["a", "a"], write_ins=True), "invalid"),
        (poll("p", MANY), "too_large"),
        (poll("p", MANY, write_ins=True), "too_large"),
        (poll("p", MANY[1:]), "created"),
        (poll("p", ["a", "é" * 128]), "created"),
        (poll("p", ["a", "é" * 128 + "x"]), "too_large"),
        (poll("p", [f"{i:0256d}" for i in range(16_385)]), "too_large"),
        (poll("p" * 129, ["a", "b"]), "too_large"),
        (poll("p", ["a", "b"], title="t" * 1025), "too_large"),
        (CreatePoll("p", "", ["a", "b"], "open", None, False, [1]), "invalid"),
        (CreatePoll("p", "", ["a", "b"], "open", None, False, [1, -1]), "invalid"),
        (CreatePoll("p", "", ["a", "b"], "open", None, False, [2**63, 0]), "too_large"),
        (CreatePoll("p", "", ["a", "b"], "open", None, False, [2**63 - 1, 0]), "created"),
    ],
)
def test_creating_a_poll(command: CreatePoll, what: str) -> None:
    script = Script()
    before = script.machine.digest()
    assert what == word_of(script.do(command))
    assert (what == "created") == (script.machine.poll(command.id) is not None)
    assert before != script.machine.digest()  # the version, at least


def test_polls_are_bounded_in_number() -> None:
    script = Script()
    commands = [poll(f"p{i}", ["a", "b"]) for i in range(10_001)]
    results = script.apply(*commands).results[0]
    assert ["created"] * 10_000 + ["too_large"] == list(map(word_of, results))
    script.play("vote u a")
    assert {"a": 1, "b": 0} == script.machine.results("p0") == script.machine.results("p9999")


def test_options_of_all_polls_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.cluster.state.tally.LISTINGS_MAX", 7)  # the real bound costs half a gigabyte
    script = Script()
    assert "created" == script.play("writein words; poll p a b c; poll q a b d")
    assert "too_large" == script.play("poll r a b")
    assert "applied" == script.play("vote u x in words; vote v x in words")
    assert "too_large" == script.play("vote w y in words")
    assert "too_large" == script.play("once k y in words")
