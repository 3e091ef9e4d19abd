"""What becomes of a vote, and what it adds to."""

from __future__ import annotations

import pytest

from quorate.cluster import entry
from quorate.vote import TOTAL_MAX, Outcome
from tests.unit.state.fsm_script import Script, cast, choice, once, poll

MOOD = "poll mood happy sad; "
TWO = MOOD + "poll day happy rainy; "
WORDS = "writein words; "


def tally(script: Script, id: str = "mood") -> dict[str, int]:
    results = script.machine.results(id)
    assert results is not None
    return {option: votes for option, votes in results.items() if votes}


@pytest.mark.parametrize(
    ("history", "outcome", "expected"),
    [
        (MOOD + "vote a happy", "applied", {"happy": 1}),
        (MOOD + "vote a happy; vote b happy", "applied", {"happy": 2}),
        (MOOD + "vote a happy x5; vote b sad x2", "applied", {"happy": 5, "sad": 2}),
        (MOOD + "vote - happy; vote - happy", "applied", {"happy": 2}),
        (MOOD + "vote a happy; vote a happy", "duplicate", {"happy": 1}),
        (MOOD + "vote a happy; vote a sad", "conflict", {"happy": 1}),
        (MOOD + "vote a happy; vote a happy x2", "conflict", {"happy": 1}),
        (MOOD + "vote a happy; vote a happy in mood", "conflict", {"happy": 1}),
        (MOOD + "vote a rainy", "unknown_option", {}),
        (MOOD + "vote a rainy in mood", "unknown_option", {}),
        (MOOD + "vote a happy in day", "unknown_poll", {}),
        (MOOD + "vote a happy x0", "invalid", {}),
        (MOOD + "vote - happy x0", "invalid", {}),
        (MOOD + "vote a happy x1000001", "invalid", {}),
        # the poll's state
        (MOOD + "close mood; vote a happy", "closed", {}),
        (MOOD + "close mood; vote a happy in mood", "closed", {}),
        (MOOD + "close mood; vote a rainy in mood", "closed", {}),
        ("draft mood happy sad; vote a happy", "closed", {}),
        ("draft mood happy sad; vote a happy in mood", "closed", {}),
        (MOOD + "close mood; archive mood; vote a happy", "closed", {}),
        # dedup comes first
        (MOOD + "vote a happy; close mood; vote a happy", "duplicate", {"happy": 1}),
        (MOOD + "vote a happy; close mood; vote a sad", "conflict", {"happy": 1}),
        # a rejected vote does not use up its id
        (MOOD + "vote a rainy; vote a happy", "applied", {"happy": 1}),
        (MOOD + "close mood; vote a happy; open mood; vote a happy", "applied", {"happy": 1}),
        (MOOD + "vote a happy x0; vote a happy", "applied", {"happy": 1}),
        # votes count only while the poll is open
        (MOOD + "vote a happy; close mood; vote b happy; open mood; vote c happy", "applied", {"happy": 2}),
        (TWO + "vote a happy; close mood; vote b happy; open mood; vote c happy", "applied", {"happy": 2}),
        # a vote may name its poll
        (TWO + "vote a happy in day", "applied", {}),
        (TWO + "vote a happy in mood x4; vote b happy", "applied", {"happy": 5}),
        (MOOD + "vote a happy in mood; close mood; open mood; vote b happy in mood", "applied", {"happy": 2}),
        # other polls
        ("poll day happy rainy; vote a happy; vote b happy; " + MOOD + "vote c happy", "applied", {"happy": 1}),
        ("import mood happy=3 sad=1; vote a sad", "applied", {"happy": 3, "sad": 2}),
    ],
)
def test_votes(history: str, outcome: str, expected: dict[str, int]) -> None:
    script = Script()
    assert outcome == script.play(history)
    assert expected == tally(script)


@pytest.mark.parametrize(
    ("history", "outcome", "expected"),
    [
        (WORDS + "vote a hello in words", "applied", {"hello": 1}),
        (WORDS + "vote a hello in words; vote b hello in words x2", "applied", {"hello": 3}),
        (WORDS + "vote a hello", "unknown_option", {}),
        (WORDS + "vote a hello in words; vote b hello", "unknown_option", {"hello": 1}),
        ("poll mood happy sad; writein words happy; vote a happy", "applied", {}),
        (WORDS + "vote a hello in words; vote a hello in words", "duplicate", {"hello": 1}),
        (WORDS + "close words; vote a hello in words", "closed", {}),
        (WORDS + "vote - hello in words; close words; open words; vote - hello in words", "applied", {"hello": 2}),
        (WORDS + f"vote a {'é' * 128} in words", "applied", {"é" * 128: 1}),
        (WORDS + f"vote a {'é' * 128}x in words", "invalid", {}),
    ],
)
def test_write_ins(history: str, outcome: str, expected: dict[str, int]) -> None:
    script = Script()
    assert outcome == script.play(history)
    assert expected == tally(script, "words")


def test_a_vote_counts_in_every_open_poll_with_its_option() -> None:
    script = Script()
    script.play("poll p1 a b; poll p2 a c; draft p3 a d; poll p4 a e; close p4; vote u1 a; vote u2 a x2")
    assert [{"a": 3}, {"a": 3}, {}, {}] == [tally(script, id) for id in ("p1", "p2", "p3", "p4")]
    script.play("open p3; vote u3 a; close p1; vote u4 a")
    assert [{"a": 4}, {"a": 5}, {"a": 2}, {}] == [tally(script, id) for id in ("p1", "p2", "p3", "p4")]


def test_votes_of_one_command_are_decided_in_their_order() -> None:
    script = Script()
    script.do(poll("mood", ["happy", "sad"]))
    happy, sad, lost = choice("happy"), choice("sad"), choice("lost")
    result = script.do(
        cast([("a", happy), ("a", happy), ("a", sad), ("b", lost), ("b", sad), ("b", sad), (None, sad), (None, lost)])
    )
    assert isinstance(result, entry.VotesResult)
    assert [0, 1, 2, 3, 0, 1] == list(result.outcomes)
    assert [Outcome.APPLIED, Outcome.UNKNOWN_OPTION] == list(result.plain)
    assert {"happy": 1, "sad": 2} == tally(script)


def test_the_same_id_in_two_batches_of_one_entry_counts_once() -> None:
    script = Script()
    script.do(poll("mood", ["happy", "sad"]))
    batch = entry.encode_batch([cast([("a", choice("happy"))])])
    applied = script.machine.apply(entry.encode_entry(2_000, [batch, batch]))
    assert [[entry.VotesResult(b"\0", b"")], [entry.VotesResult(b"\1", b"")]] == applied.results
    assert {"happy": 1} == tally(script)


def test_what_changed_is_told() -> None:
    script = Script()
    script.play("poll mood happy sad; poll day happy rainy; writein words")
    applied = script.apply(cast([("a", choice("happy")), ("b", choice("rainy", "day")), ("c", choice("x", "words"))]))
    assert {"happy"} == set(applied.options)
    assert {"day", "words"} == set(applied.polls)
    again = script.apply(cast([("a", choice("happy")), ("b", choice("rainy", "day")), ("d", choice("lost"))]))
    assert ((), ()) == (tuple(again.options), tuple(again.polls))


def test_polls_with_an_option_are_found_in_any_state() -> None:
    script = Script()
    script.play("poll p1 a b; draft p2 a c; writein words a")
    assert ["p1", "p2"] == list(script.machine.polls_with("a"))
    assert [] == list(script.machine.polls_with("z"))


def test_results_of_some_options_are_those_of_all() -> None:
    script = Script()
    script.play("poll p1 a b c; vote 1 a; vote 2 b in p1; vote 3 c; vote 4 c")
    assert {"c": 2, "a": 1} == script.machine.results_of("p1", ["c", "lost", "a"])
    script.play("close p1; writein words; vote 5 x in words; vote 6 a")
    assert {"a": 1, "b": 1} == script.machine.results_of("p1", ["a", "b"])
    assert {"x": 1} == script.machine.results_of("words", ["x", "y"])
    assert script.machine.results_of("lost", ["a"]) is None


# ---- bounds ---------------------------------------------------------------------------------------------------------


def nearly_full(room: int) -> Script:
    """A cluster that may count `room` more votes."""
    script = Script()
    script.do(entry.CreatePoll("old", "", ["x", "y"], "open", None, False, [TOTAL_MAX - room, 0], True))
    script.play("poll mood happy sad")
    return script


def test_a_total_never_passes_its_bound() -> None:
    script = nearly_full(5)
    happy, heavy = choice("happy"), choice("happy", weight=4)
    result = script.do(cast([("a", heavy), ("b", heavy), ("a", heavy), ("c", happy), ("d", happy), (None, happy)]))
    assert isinstance(result, entry.VotesResult)
    assert [Outcome.APPLIED, Outcome.TOO_LARGE, Outcome.DUPLICATE, Outcome.APPLIED, Outcome.TOO_LARGE] == list(
        result.outcomes
    )
    assert [Outcome.TOO_LARGE] == list(result.plain)
    assert {"happy": 5} == tally(script)
    assert "too_large" == script.play("vote d happy in mood")
    assert "applied" == nearly_full(5).play("vote d happy x5")


def test_a_whole_request_over_the_bound_counts_nothing() -> None:
    script = nearly_full(5)
    assert "too_large" == script.play("once k happy*4 sad*2")
    assert {} == tally(script)
    assert "applied" == script.play("once k happy*4 sad*1")


def test_initial_results_are_bounded_too() -> None:
    script = nearly_full(5)
    assert "too_large" == script.play("import new happy=3 sad=3")
    assert "created" == script.play("import new happy=3 sad=2")
    assert "too_large" == script.play("vote a happy")


def test_plain_sums_are_whole_numbers_above_zero() -> None:
    script = Script()
    script.play("poll mood happy sad")
    result = script.do(entry.CastVotes([choice("happy")], plain=[(0, 7), (0, 0), (0, -3), (0, 2**63)]))
    assert isinstance(result, entry.VotesResult)
    assert [Outcome.APPLIED, Outcome.INVALID, Outcome.INVALID, Outcome.TOO_LARGE] == list(result.plain)
    assert {"happy": 7} == tally(script)


def test_write_in_options_are_bounded_in_number() -> None:
    script = Script()
    script.play("writein words")
    script.do(entry.CastVotes([choice(f"w{i}", "words") for i in range(99_999)], plain=[(i, 1) for i in range(99_999)]))
    result = script.do(cast([(str(i), choice(word, "words")) for i, word in enumerate(["a", "b", "a", "w7", "b"])]))
    assert isinstance(result, entry.VotesResult)
    assert [Outcome.APPLIED, Outcome.TOO_LARGE, Outcome.APPLIED, Outcome.APPLIED, Outcome.TOO_LARGE] == list(
        result.outcomes
    )
    results = script.machine.results("words")
    assert results is not None
    assert (100_000, 2, 2) == (len(results), results["a"], results["w7"])


def test_write_ins_of_a_whole_request_must_fit_together() -> None:
    script = Script()
    script.play("writein words")
    script.do(entry.CastVotes([choice(f"w{i}", "words") for i in range(99_998)], plain=[(i, 1) for i in range(99_998)]))
    result = script.do(once("k", ["a", "b", "w7", "a", "c"], "words"))
    assert isinstance(result, entry.WholeResult)
    assert Outcome.TOO_LARGE == result.outcome
    assert [0, 0, 0, 0, Outcome.TOO_LARGE] == list(result.by_choice)
    assert "applied" == script.play("once k a b w7 a in words")


def test_write_in_options_are_bounded_in_bytes() -> None:
    script = Script()
    script.play("writein words")
    long = [choice(f"{i:0256d}", "words") for i in range(4 * 1024 * 1024 // 256)]
    result = script.do(entry.CastVotes([*long, choice("a", "words")], plain=[(i, 1) for i in range(len(long) + 1)]))
    assert isinstance(result, entry.VotesResult)
    assert {Outcome.APPLIED} == set(map(Outcome, result.plain[:-1]))
    assert Outcome.TOO_LARGE == result.plain[-1]


@pytest.mark.parametrize(
    ("level", "outcome"), [(0, "applied"), (1, "invalid")], ids=["as 0.1.0 does", "from level 1 on"]
)
def test_no_option_with_hidden_characters_is_written_in(level: int, outcome: str) -> None:
    """Below the level a node of 0.1.0 may be there, which counts it: all nodes must reach the same state."""
    script = Script()
    if level:
        script.machine.raise_level(entry.encode_raise(level))
    assert outcome == script.play("writein any a; vote u1 b\u202ec in any")
    assert outcome == script.play("once k1 b\u202ed*2 in any")


def test_an_option_with_hidden_characters_that_stands_in_the_log_is_voted_for_as_before() -> None:
    script = Script()
    script.play("writein any a; poll mood b\u202ec d; vote u1 b\u202ec in any")
    script.machine.raise_level(entry.encode_raise(1))
    assert "applied" == script.play("vote u2 b\u202ec in any")
    assert "applied" == script.play("vote u3 b\u202ec in mood")
    assert "duplicate" == script.play("vote u1 b\u202ec in any")
