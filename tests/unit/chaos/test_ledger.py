"""Which requests of a chaos run are sent again."""

from __future__ import annotations

import random

import pytest

from quorate.chaos.history import SentVote
from quorate.chaos.workload import ledger as ledger_module
from quorate.chaos.workload.judged import Judged
from quorate.chaos.workload.ledger import Ledger, VoteRequest, request_of
from quorate.chaos.workload.plan import RunPolls


def vote(name: str) -> VoteRequest:
    return request_of(name, [SentVote("a", name, "mood", 3)])


def told(ledger: Ledger, request: VoteRequest, *outcomes: Judged) -> None:
    for judged in outcomes:
        request.learn(judged)
    ledger.done(request)


APPLIED, CLOSED, UNKNOWN = Judged("ok", applied=1), Judged("ok", rejected=[(0, "closed")]), Judged("unknown")


def test_a_request_given_up_is_handed_out_until_its_outcome_is_known() -> None:
    ledger, request = Ledger(1000), vote("v1")
    request.learn(UNKNOWN)
    ledger.give_up(request)
    assert request is ledger.oldest()
    assert None is ledger.oldest()


def test_a_request_that_surely_had_no_effect_is_forgotten() -> None:
    ledger, request = Ledger(1000), vote("v1")
    request.learn(Judged("fail"))
    ledger.give_up(request)
    assert {} == ledger.unsettled


def test_a_refused_request_is_in_doubt_if_an_earlier_attempt_may_still_count() -> None:
    ledger = Ledger(1000)
    told(ledger, vote("sure"), CLOSED)
    told(ledger, vote("doubt"), UNKNOWN, CLOSED)
    assert ["doubt"] == list(ledger.doubtful)
    told(ledger, ledger.doubtful["doubt"], APPLIED)
    assert {} == ledger.doubtful


def test_an_acknowledged_request_is_sent_again_only_while_its_id_must_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "KEPT_OF", 1)
    ledger, chance = Ledger(window=20), random.Random(0)
    old = vote("old")
    told(ledger, old, APPLIED)
    assert old is ledger.known(chance)
    for n in range(10):
        told(ledger, vote(f"v{n}"), APPLIED)
    assert old not in [ledger.known(chance) for _ in range(100)]
    assert old not in ledger.sample(chance, 100)


def test_a_request_under_a_key_takes_one_place_of_the_window() -> None:
    votes = [SentVote("a", None, "mood", 3), SentVote("b", None, "mood", 5)]
    request = request_of("k1", votes, key="k1")
    assert 1 == request.ids
    assert (("Idempotency-Key", "k1"),) == request.headers
    assert b'[{"option":"a","weight":3,"poll":"mood"},{"option":"b","weight":5,"poll":"mood"}]' == request.body


def test_no_two_polls_share_an_option_and_every_option_has_one_weight() -> None:
    polls = RunPolls("c1")
    options = [option for poll in polls.lasting for option in poll.options]
    assert len(options) == len(set(options))
    chance = random.Random(0)
    chosen = {(vote.option, vote.weight) for vote in (polls.single.choose(chance, "x") for _ in range(500))}
    assert set(polls.single.options.items()) == chosen
