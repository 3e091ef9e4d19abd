"""Requests that count as a whole: under an idempotency key, and in a producer session. And commands on the cluster."""

from __future__ import annotations

import pytest

from quorate.cluster import entry
from quorate.cluster.fsm import StateMachine
from quorate.cluster.state.sessions import PRODUCERS_MAX
from quorate.vote import Outcome
from tests.unit.state.fsm_script import KEY, Script, batch, choice, id_hash, once

MOOD = "poll mood happy sad; "
P = MOOD + "producer p; "


@pytest.mark.parametrize(
    ("history", "outcome", "expected"),
    [
        (MOOD + "once k happy*3 sad", "applied", {"happy": 3, "sad": 1}),
        (MOOD + "once k happy*3; once k happy*3", "duplicate", {"happy": 3, "sad": 0}),
        (MOOD + "once k happy*3 sad; once k sad happy*3", "duplicate", {"happy": 3, "sad": 1}),
        (MOOD + "once k happy*3; once k happy*4", "conflict", {"happy": 3, "sad": 0}),
        (MOOD + "once k happy*3; once k happy*3 in mood", "conflict", {"happy": 3, "sad": 0}),
        (MOOD + "once k happy*3; close mood; once k happy*3", "duplicate", {"happy": 3, "sad": 0}),
        (MOOD + "once k happy*3 lost; once k happy*3", "applied", {"happy": 3, "sad": 0}),
        (MOOD + "once k happy*3 lost", "unknown_option", {"happy": 0, "sad": 0}),
        (MOOD + "close mood; once k happy", "closed", {"happy": 0, "sad": 0}),
        (MOOD + "once k happy in mars", "unknown_poll", {"happy": 0, "sad": 0}),
        (MOOD + "once k", "applied", {"happy": 0, "sad": 0}),
        # keys and ids are one namespace
        (MOOD + "vote k happy; once k happy", "conflict", {"happy": 1, "sad": 0}),
        (MOOD + "once k happy; vote k happy", "conflict", {"happy": 1, "sad": 0}),
        # sessions
        (P, "epoch 1 after 0", {"happy": 0, "sad": 0}),
        (P + "batch p 1 1 happy*2", "applied", {"happy": 2, "sad": 0}),
        (P + "batch p 1 1 happy*2; batch p 1 1 happy*2", "duplicate", {"happy": 2, "sad": 0}),
        (P + "batch p 1 1 happy*2; batch p 1 1 happy*3", "conflict", {"happy": 2, "sad": 0}),
        (P + "batch p 1 1 happy; batch p 1 2 happy; batch p 1 1 happy", "duplicate", {"happy": 2, "sad": 0}),
        (
            P + "batch p 1 1 sad; batch p 1 2 happy; batch p 1 3 happy; batch p 1 1 sad",
            "duplicate",
            {"happy": 2, "sad": 1},
        ),
        (P + "batch p 1 2 happy", "invalid", {"happy": 0, "sad": 0}),
        (P + "batch p 1 0 happy", "invalid", {"happy": 0, "sad": 0}),
        (P + "batch q 1 1 happy", "invalid", {"happy": 0, "sad": 0}),
        (P + "batch p 2 1 happy", "invalid", {"happy": 0, "sad": 0}),
        (P + "producer p; batch p 1 1 happy", "expired_id", {"happy": 0, "sad": 0}),
        (P + "batch p 1 1 happy; producer p", "epoch 2 after 1", {"happy": 1, "sad": 0}),
        (P + "batch p 1 1 happy; producer p; batch p 2 1 happy", "duplicate", {"happy": 1, "sad": 0}),
        (P + "batch p 1 1 happy; producer p; batch p 2 2 happy", "applied", {"happy": 2, "sad": 0}),
        (P + "batch p 1 1 lost happy; batch p 1 1 happy", "applied", {"happy": 1, "sad": 0}),
        (P + "batch p 1 1 happy; close mood; batch p 1 1 happy", "duplicate", {"happy": 1, "sad": 0}),
        (P + "; ".join(f"batch p 1 {i} happy" for i in (1, 2, 3, 4, 5, 6, 2)), "duplicate", {"happy": 6, "sad": 0}),
        (P + "; ".join(f"batch p 1 {i} happy" for i in (1, 2, 3, 4, 5, 6, 1)), "expired_id", {"happy": 6, "sad": 0}),
    ],
)
def test_whole_requests(history: str, outcome: str, expected: dict[str, int]) -> None:
    script = Script()
    assert outcome == script.play(history)
    assert expected == script.machine.results("mood")


def test_a_refused_request_says_which_choices_were_the_reason() -> None:
    script = Script()
    script.play(MOOD + "poll day rainy sunny; close day")
    result = script.do(once("k", ["happy*2", "lost", "rainy", "sad"]))
    reasons = [Outcome.APPLIED, Outcome.UNKNOWN_OPTION, Outcome.CLOSED, Outcome.APPLIED]
    assert entry.WholeResult(Outcome.UNKNOWN_OPTION, 5, bytes(reasons)) == result


def test_a_duplicate_says_how_many_votes_it_holds() -> None:
    script = Script()
    script.play(P + "once k happy*2 sad; batch p 1 1 sad*7")
    assert entry.WholeResult(Outcome.DUPLICATE, 3) == script.do(once("k", ["happy*2", "sad"]))
    assert entry.WholeResult(Outcome.DUPLICATE, 7) == script.do(batch("p", 1, 1, ["sad*7"]))


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (P + "batch p 1 3 happy", "sequence 3 came where 1 is expected"),
        (P + "batch q 1 1 happy", "producer 'q' is unknown; open it first"),
        (P + "batch p 4 1 happy", "epoch 4 was never opened; the last one is 1"),
        (P + "producer p; batch p 1 1 happy", "epoch 1 was fenced off"),
        (P + "; ".join(f"batch p 1 {i} happy" for i in (1, 2, 3, 4, 5, 6, 1)), "too old to compare"),
        (P + "batch p 1 1 happy; batch p 1 1 sad", "sequence 1 was counted with other votes"),
    ],
)
def test_a_session_says_what_is_wrong(history: str, words: str) -> None:
    script = Script()
    *before, last = history.split("; ")
    script.play("; ".join(before))
    _, producer, epoch, sequence, option = last.split()
    result = script.do(batch(producer, int(epoch), int(sequence), [option]))
    assert isinstance(result, entry.WholeResult)
    assert words in result.detail


def test_producers_are_bounded_and_old_ones_stay() -> None:
    script = Script()
    script.apply(*(entry.OpenProducer(f"p{i}") for i in range(PRODUCERS_MAX)))
    assert PRODUCERS_MAX == len(script.machine.producers)
    assert "refused" == script.play("producer new")
    assert "epoch 2 after 0" == script.play("producer p0")
    assert PRODUCERS_MAX == len(script.machine.producers)


# ---- the cluster ----------------------------------------------------------------------------------------------------


def test_a_cluster_is_formed_once() -> None:
    script = Script(window=7)
    assert entry.Done(7) == script.do(entry.FormCluster("other", b"x" * 16, 9))
    machine = script.machine
    assert ("c1", KEY, 1, 7) == (machine.cluster_id, machine.hash_key, machine.generation, machine.dedup().window)


@pytest.mark.parametrize(
    "command",
    [
        entry.FormCluster("", KEY, 10),
        entry.FormCluster("c" * 129, KEY, 10),
        entry.FormCluster("c", b"short", 10),
        entry.FormCluster("c", KEY, 0),
        entry.FormCluster("c", KEY, 2**40),
        entry.SetDedupWindow(0),
        entry.SetDedupWindow(-1),
        entry.SetDedupWindow(8_000_001),
        entry.OpenProducer(""),
        entry.OpenProducer("p" * 129),
    ],
)
def test_what_makes_no_sense_is_refused(command: entry.Command) -> None:
    machine = StateMachine()  # not formed yet
    script = Script(machine)
    assert isinstance(script.do(command), entry.Refused)
    assert ("", b"", 0, 0) == (machine.cluster_id, machine.hash_key, machine.generation, len(machine.producers))


def test_generations_only_rise() -> None:
    script = Script()
    assert ["2", "3"] == [script.play("generation"), script.play("generation")]
    assert 3 == script.machine.generation


@pytest.mark.parametrize(
    "command",
    [
        entry.CastVotes([choice("happy")], b"1234567", b"\0\0\0\0"),
        entry.CastVotes([choice("happy")], id_hash("a"), b""),
        entry.CastVotes([choice("happy")], id_hash("a"), b"\1\0\0\0"),
        entry.CastVotes([choice("happy")], plain=[(1, 1)]),
        entry.CastVotes([choice("happy")], plain=[(-1, 1)]),
        entry.CastOnce(b"short", 1, [choice("happy")], [(0, 1)]),
        entry.CastOnce(id_hash("k"), 1, [choice("happy")], [(1, 1)]),
        entry.CastOnce(id_hash("k"), 1, [choice("happy")], [(0, 0)]),
        entry.CastOnce(id_hash("k"), 1, [choice("happy")], [(0, 2), (0, -1)]),
        entry.CastSession("p", 1, 1, 1, [choice("happy")], [(-1, 1)]),
    ],
)
def test_a_command_that_breaks_its_own_form_is_refused_and_changes_nothing(command: entry.Command) -> None:
    script = Script()
    script.play(P)
    assert isinstance(script.do(command), entry.Refused)
    assert {"happy": 0, "sad": 0} == script.machine.results("mood")
    assert 0 == script.machine.dedup().held
