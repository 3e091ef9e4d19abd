"""Deleting polls: what was meant for a deleted poll never meets a new one of its name, and limits are free again."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import Done
from quorate.cluster.fsm import StateMachine
from quorate.cluster.state import polls, sessions, tally, tombstones
from quorate.cluster.state.tombstones import KEPT_MS, mixed
from quorate.vote import TOTAL_MAX
from tests.unit.state.fsm_script import Script, choice

GOLDEN = Path(__file__).parent / "golden" / "state-2-deleted.snapshot"
GONE = "poll mood happy sad; vote u1 happy in mood; close mood; archive mood; delete mood;"
AGAIN = f"{GONE} poll mood happy sad; knows 2;"
HISTORY = (
    "poll mood happy sad; poll day happy rainy until 5000; writein words a; vote u1 happy in mood; producer p;"
    "batch p 1 1 rainy; producer q; archive words; close mood; archive mood; delete mood; poll mood sad late;"
    "forget p; forget q; renew p; draft gone x y z; delete gone; poll new x w"
)


def at_level_1(*, window: int = 100) -> Script:
    script = Script(window=window)
    script.machine.raise_level(entry.encode_raise(1))
    return script


def forget(script: Script, id: str, creation: int) -> int:
    result = script.do(entry.ForgetTombstones([(id, creation)]))
    assert isinstance(result, Done)
    return result.value


@pytest.mark.parametrize(
    ("history", "outcome"),
    [
        ("poll mood a b; delete mood", "bad_transition"),
        ("poll mood a b; close mood; delete mood", "bad_transition"),
        ("poll mood a b; close mood; archive mood; delete mood", "removed"),
        ("draft mood a b; delete mood", "removed"),
        ("delete mood", "unknown_poll"),
        (f"{GONE} delete mood", "deleted"),
        (f"{GONE} delete mood 1", "deleted"),
        (f"{GONE} open mood", "deleted"),
        (f"{GONE} vote u2 happy in mood", "deleted"),
        (f"{GONE} vote - happy in mood", "deleted"),
        (f"{GONE} once k happy in mood", "deleted"),
        (f"{GONE} vote u1 happy in mood", "duplicate"),
        (f"{GONE} vote u1 sad in mood", "conflict"),
        (f"{GONE} vote u2 happy", "unknown_option"),
        (f"{GONE} import mood a=1 b=2", "deleted"),
        # A new poll has the name, and everybody knows it:
        (f"{GONE} poll mood happy sad", "created"),
        (f"{AGAIN} vote u2 happy in mood", "applied"),
        (f"{AGAIN} vote u1 happy in mood", "conflict"),  # never acknowledged for the new poll
        (f"{AGAIN} vote u2 happy in mood; vote u2 happy in mood", "duplicate"),
        (f"{AGAIN} delete mood", "deleted"),  # perhaps the old command, sent again
        (f"{AGAIN} delete mood 1", "deleted"),
        (f"{AGAIN} delete mood 2", "bad_transition"),
        (f"{AGAIN} close mood; archive mood; delete mood 2; delete mood 2", "deleted"),
        # The proposer did not know it, or the vote was under way for long:
        (f"{AGAIN} knows 0; vote u2 happy in mood", "deleted"),
        (f"{AGAIN} knows 1; vote - happy in mood", "deleted"),
        (f"{AGAIN} knows 0; once k happy in mood", "deleted"),
        (f"{AGAIN} knows 0; close mood", "deleted"),
        (f"{AGAIN} knows 0; vote u2 happy", "applied"),  # it names no poll
        ("poll mood happy sad; knows 0; vote u1 happy in mood", "applied"),  # the first of its name
    ],
)
def test_what_a_name_answers(history: str, outcome: str) -> None:
    assert outcome == at_level_1().play(history)


@pytest.mark.parametrize("whole", ["once k happy*2 in mood", "batch p 1 1 happy*2 in mood"])
def test_a_whole_request_is_not_acknowledged_for_a_new_poll(whole: str) -> None:
    script = at_level_1()
    script.play(f"producer p; poll mood happy sad; {whole}; close mood; archive mood; delete mood")
    assert "duplicate" == script.play(whole)
    assert "conflict" == script.play(f"poll mood happy sad; knows 2; {whole}")
    assert {"happy": 0, "sad": 0} == script.machine.results("mood")


def test_votes_of_one_batch_are_told_apart() -> None:
    script = at_level_1()
    script.play(AGAIN + "knows 0; poll other happy sad")
    votes = entry.CastVotes([choice("happy", "mood"), choice("happy", "other")], plain=[(0, 1), (1, 1)])
    assert b"\x09\x00" == script.do(votes).plain  # type: ignore[union-attr]


def test_what_a_proposer_knew_concerns_its_own_batch_alone() -> None:
    script = at_level_1()
    script.play(AGAIN)
    vote = entry.CastVotes([choice("happy", "mood")], plain=[(0, 1)])
    batches = [entry.encode_batch([entry.Seen(2), vote]), entry.encode_batch([vote])]
    applied = script.machine.apply(entry.encode_entry(2_000, batches))
    assert [b"\x00", b"\x09"] == [results[-1].plain for results in applied.results]  # type: ignore[union-attr]


def test_a_deletion_changes_the_poll_for_those_who_follow_it() -> None:
    script = at_level_1()
    script.play("draft mood a b")
    assert {"mood"} == set(script.apply(entry.DeletePoll("mood", None)).polls)
    assert (None, None, []) == (script.machine.poll("mood"), script.machine.results("mood"), script.machine.polls())


@pytest.mark.parametrize("history", ["delete mood", "forget p", "renew p"])
def test_below_its_level_it_is_refused(history: str) -> None:
    script = Script()
    assert "refused" == script.play(f"draft mood a b; producer p; {history}")
    assert script.machine.poll("mood") is not None


def test_a_poll_from_before_the_level_is_deleted_like_any_other() -> None:
    script = Script()
    script.play("poll mood happy sad; vote u1 happy in mood; close mood; archive mood")
    script.machine.raise_level(entry.encode_raise(1))
    assert "duplicate" == script.play("vote u1 happy in mood")
    assert "duplicate" == script.play("delete mood 0; vote u1 happy in mood")
    assert "conflict" == script.play("poll mood happy sad; knows 1; vote u1 happy in mood")


def test_the_timed_close_of_a_deleted_poll_does_nothing() -> None:
    script = at_level_1()
    script.play("poll mood a b until 5000; close mood; archive mood; delete mood; poll mood a b until 7000")
    assert 7_000 == script.machine.next_close_ms()
    assert "applied" == script.play("at 6000; knows 2; vote u a in mood")
    assert "closed" == script.play("at 7000; vote v a in mood")


# ---- limits that empty ----------------------------------------------------------------------------------------------


def test_options_polls_and_columns_are_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "LISTINGS_MAX", 6)
    monkeypatch.setattr(polls, "POLLS_MAX", 2)
    script = at_level_1()
    script.play("poll one a b; poll two a c d")
    for number in range(20):
        assert "removed" == script.play(f"knows {number + 2}; close two; archive two; delete two {number + 2}")
        assert "created" == script.play(f"poll two a x{number} y{number}")
    assert ["a", "b", "x19", "y19"] == list(script.machine.freeze().names)


@pytest.mark.parametrize(
    "full",
    [
        f"import full a={TOTAL_MAX - 3} b=3",
        f"import full a={TOTAL_MAX - 9} b=3; import full a={TOTAL_MAX - 3} b=3",  # it was changed before it was fenced
        f"writein full x; import big a={TOTAL_MAX - 5} b=0; vote - x in full x5",
    ],
)
def test_the_bound_of_all_totals_is_free_again_as_far_as_a_deleted_poll_took_it_alone(full: str) -> None:
    script = at_level_1()
    script.play(f"poll mood happy sad; {full}")
    assert "too_large" == script.play("vote 1 happy x6")
    assert "removed" == script.play("close full; archive full; delete full")
    assert "applied" == script.play("vote 1 happy x5")
    restored = StateMachine.restore(script.machine.freeze().encode())
    assert script.machine.digest() == restored.digest()


def test_votes_that_named_no_poll_stay_in_the_bound_since_they_may_be_in_others() -> None:
    script = at_level_1()
    script.play(f"poll mood happy sad; poll day happy sad; vote 1 happy x5; import big a={TOTAL_MAX - 5} b=0")
    assert "removed" == script.play("close day; archive day; delete day")
    assert "too_large" == script.play("vote 2 happy")


def test_an_emptied_cluster_has_a_small_image_again() -> None:
    script = at_level_1()
    script.play("poll one a b; poll two c d; poll three e b; close two; archive two; delete two; draft four x y z")
    assert ["a", "b", "x", "y", "e", "z"] == list(script.machine.freeze().names)
    script.play("delete four; close three; archive three; delete three")
    assert ["a", "b"] == list(script.machine.freeze().names)
    script.play("close one; archive one; delete one")
    assert ([], b"") == (list(script.machine.freeze().names), script.machine.freeze().totals)
    assert "created" == script.play("poll one c d")
    assert "applied" == script.play("vote 1 c")
    assert {"c": 1, "d": 0} == script.machine.results("one")


def test_an_option_that_returns_starts_from_zero() -> None:
    script = at_level_1()
    script.play("poll mood happy sad; vote 1 happy; vote 2 happy; close mood; archive mood; delete mood")
    script.play("poll other calm happy; vote 3 happy")
    assert {"calm": 0, "happy": 1} == script.machine.results("other")


def test_an_option_that_another_poll_lists_keeps_counting() -> None:
    script = at_level_1()
    script.play("poll mood happy sad; poll day happy rainy; vote 1 happy; close mood; archive mood; delete mood")
    assert ["day"] == list(script.machine.polls_with("happy"))
    assert "applied" == script.play("vote 2 happy")
    assert {"happy": 2, "rainy": 0} == script.machine.results("day")


# ---- tombstones -----------------------------------------------------------------------------------------------------


def test_a_tombstone_lasts_for_the_window_and_for_some_minutes() -> None:
    script = at_level_1(window=3)
    script.play(GONE + "poll other a b; vote 1 a; vote 2 a")
    script.time_ms += KEPT_MS
    assert 0 == forget(script, "mood", 1)  # ids
    script.play("vote 3 a")
    assert 0 == forget(script, "mood", 2)  # another creation
    assert 1 == forget(script, "mood", 1)
    assert "unknown_poll" == script.play("vote 4 happy in mood")
    script.play("draft new x y; delete new; vote 5 a; vote 6 a; vote 7 a")
    assert 0 == forget(script, "new", 3)  # time
    script.time_ms += KEPT_MS
    assert 1 == forget(script, "new", 3)


def test_a_larger_window_keeps_tombstones_for_longer() -> None:
    script = at_level_1(window=2)
    script.play(GONE + "poll other a b; vote 1 a; window 10; vote 2 a; vote 3 a")
    script.time_ms += KEPT_MS
    assert 0 == forget(script, "mood", 1)
    script.play(";".join(f"vote n{number} a" for number in range(8)))
    assert 1 == forget(script, "mood", 1)


def test_a_message_from_before_a_forgotten_deletion_is_not_for_a_new_poll() -> None:
    """After the tombstone nobody knows which names were used. So no new poll counts messages that are so old."""
    script = at_level_1(window=1)
    script.play(f"at 5000; {GONE} poll other a b; vote 1 a")
    script.time_ms += KEPT_MS
    assert 1 == forget(script, "mood", 1)
    script.play("poll mood happy sad; poll never x y")
    views = [script.machine.poll(id) for id in ("other", "mood", "never")]
    assert [0, 5_000, 5_000] == [view.since_ms for view in views if view is not None]


def test_a_new_poll_of_a_used_name_counts_no_older_messages() -> None:
    script = at_level_1()
    script.play(f"{GONE} at 9000; poll mood a b")
    view = script.machine.poll("mood")
    assert view is not None
    assert (9_000, 2) == (view.since_ms, view.creation)


def test_tombstones_have_a_bound_of_their_own_and_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where votes have no ids, no id is ever accepted: then the entries of the log count."""
    monkeypatch.setattr(tombstones, "TOMBSTONES_MAX", 2)
    script = at_level_1(window=5)
    script.play("draft a x y; delete a; draft b x y; delete b; draft c x y")
    assert "too_large" == script.play("delete c")
    script.time_ms += KEPT_MS
    script.play("nothing; nothing; nothing")
    assert 1 == forget(script, "a", 1)
    assert 0 == forget(script, "b", 2)  # there is room again
    assert "removed" == script.play("delete c")


def test_numbers_tell_fingerprints_apart_and_none_changes_nothing() -> None:
    some = [0, 1, 7, 2**32 - 1]
    assert some == [mixed(fingerprint, 0) for fingerprint in some]
    assert 4_000 == len({mixed(fingerprint, creation) for creation in range(1, 1_001) for fingerprint in some})


# ---- producers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "outcome"),
    [
        ("forget p", "unknown"),
        ("producer p; forget p", "forgotten"),
        ("producer p; forget p; forget p", "gone"),
        ("producer p; forget p; producer p", "epoch 2 after 0"),  # it never counted anything
        ("producer p; forget p; producer p; batch p 1 1 a", "expired_id"),
        ("producer p; forget p; producer p; forget p", "gone"),  # perhaps the old command, sent again
        ("producer p; forget p; producer p; forget p 1", "gone"),
        ("producer p; batch p 1 1 a; forget p; forget p", "gone"),
        ("producer p; batch p 1 1 a; forget p; producer p", "gone"),
        ("producer p; producer p; forget p; producer p", "gone"),  # the name of a feed is opened twice
        ("producer p; batch p 1 1 a; forget p; batch p 1 1 a", "deleted"),
        ("producer p; batch p 1 1 a; forget p; renew p", "epoch 2 after 0"),
        ("producer p; batch p 1 1 a; forget p; renew p; batch p 1 1 a", "expired_id"),
        ("producer p; batch p 1 1 a; forget p; renew p; batch p 2 1 a", "applied"),
        ("producer p; batch p 1 1 a; forget p; renew p; forget p", "gone"),
        ("producer p; batch p 1 1 a; forget p; renew p; forget p 1", "gone"),
        ("producer p; batch p 1 1 a; forget p; renew p; forget p 2", "forgotten"),
        ("producer p; batch p 1 1 a; forget p; renew p; producer p", "epoch 3 after 0"),
        ("renew p; batch p 1 1 a; renew p", "epoch 2 after 1"),
    ],
)
def test_forgetting_producers(history: str, outcome: str) -> None:
    assert outcome == at_level_1().play(f"poll mood a b; {history}")


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ("producer p; batch p 1 1 a; forget p", "the producer 'p' was forgotten"),
        (
            "producer p; batch p 1 1 a; forget p; renew p",
            "was forgotten and opened again: for that session give epoch 2",
        ),
        ("producer p; forget p; producer p", "was forgotten and opened again: for that session give epoch 2"),
    ],
)
def test_what_is_said_when_nobody_can_tell_which_session_is_meant(history: str, said: str) -> None:
    script = at_level_1()
    script.play(f"poll mood a b; {history}")
    result = script.do(entry.ForgetProducer("p", None))
    assert isinstance(result, entry.ForgetResult)
    assert ("gone", True) == (result.what, result.detail.endswith(said))


def test_a_forgotten_name_is_free_after_the_window_and_some_minutes() -> None:
    script = at_level_1(window=2)
    script.play("poll mood a b; producer p; batch p 1 1 a; forget p; vote 1 a; vote 2 a")
    assert "gone" == script.play("forget p")
    script.time_ms += KEPT_MS
    assert "unknown" == script.play("forget p")
    assert "epoch 1 after 0" == script.play("producer p")


def test_producers_and_forgotten_names_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "PRODUCERS_MAX", 1)
    monkeypatch.setattr(sessions, "FORGOTTEN_MAX", 2)
    script = at_level_1(window=3)
    for number in range(5):  # those that counted nothing take no room from the others
        assert "forgotten" == script.play(f"producer p{number}; forget p{number}")
    script.play("poll mood a b")
    for number in range(2):
        assert "forgotten" == script.play(f"producer q{number}; batch q{number} 1 1 a; forget q{number}")
    assert "refused" == script.play("producer q; batch q 1 1 a; producer other")
    assert "too_large" == script.play("forget q")
    script.time_ms += KEPT_MS
    assert "forgotten" == script.play("nothing; nothing; forget q")  # no id was accepted, but entries were


# ---- snapshots ------------------------------------------------------------------------------------------------------


def deleted() -> Script:
    script = at_level_1(window=2)
    script.play(HISTORY)
    return script


def test_a_snapshot_has_what_was_deleted() -> None:
    one = deleted()
    two = Script(StateMachine.restore(one.machine.freeze().encode()))
    two.time_ms = one.time_ms
    rest = "poll more x a b c; knows 4; vote 1 sad in mood; vote 2 x; delete mood; close mood; archive mood;"
    for step in (rest + "delete mood 4; producer p; forget p; producer q; draft gone x; window 9; vote 3 w").split(";"):
        assert one.play(step) == two.play(step), step
        assert one.machine.digest() == two.machine.digest(), step
    assert one.machine.tombstones() == two.machine.tombstones()
    assert one.machine.newest_again == two.machine.newest_again


def test_its_format_has_not_changed() -> None:
    """If this fails by intention, clusters in use need a way to read what they wrote."""
    assert GOLDEN.read_bytes() == deleted().machine.freeze().encode()
