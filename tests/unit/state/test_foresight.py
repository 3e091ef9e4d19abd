"""What a state says of votes before they come is what they get if they come next, alone."""

from __future__ import annotations

import random

import pytest

from quorate.cluster import entry
from quorate.cluster.fsm import StateMachine
from quorate.cluster.state import shares, tally
from quorate.vote import TOTAL_MAX, Outcome, Vote
from tests.unit.state.fsm_script import KEY, Script, cast, choice

OPTIONS = ["happy", "sad", "calm", "rage", "é" * 129, "a\u200bb"]
POLLS = ["mood", "lunch", "free", "late", "gone", "none"]
ENDS = ["nothing", "at 9000; nothing", "delete gone", "delete gone; poll gone calm sad", "close mood", "window 3"]


def history(rng: random.Random) -> tuple[Script, list[Vote]]:
    """What happened, and votes that may come: half of them came before."""
    script = Script(window=rng.choice([3, 100]))
    if rng.random() < 0.8:
        script.machine.raise_level(entry.encode_raise(1))
    script.play("poll mood happy sad; draft lunch happy calm; writein free; poll late sad calm until 5000")
    script.play("draft gone calm sad; producer p")
    came = []
    for _ in range(rng.randrange(40)):
        came.append(vote := vote_of(rng))
        script.share = rng.choice([0, 1])
        script.do(command_of_vote(vote))
    script.play(rng.choice(ENDS))
    return script, [rng.choice(came) if came and rng.random() < 0.5 else vote_of(rng) for _ in range(30)]


def vote_of(rng: random.Random) -> Vote:
    id = rng.choice([None, *(f"v{number}" for number in range(25))])
    return Vote(rng.choice(OPTIONS), id, rng.choice([None, *POLLS]), rng.choice([1, 1, 2]))


def command_of_vote(vote: Vote) -> entry.CastVotes:
    return cast([(vote.id, choice(vote.option, vote.poll, vote.weight))])


def hashed(votes: list[Vote]) -> list[tuple[entry.Choice, bytes | None]]:
    choices = [choice(vote.option, vote.poll, vote.weight) for vote in votes]
    return list(zip(choices, entry.hash_ids([vote.id for vote in votes], KEY), strict=True))


def copy_of(script: Script) -> Script:
    copy = Script(StateMachine.restore(script.machine.freeze().encode()))
    copy.time_ms = script.time_ms
    return copy


@pytest.mark.parametrize("seed", range(40))
def test_each_vote_gets_what_was_said_of_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "SHARE_WINDOW", 5)
    monkeypatch.setattr(tally, "LISTINGS_MAX", 12)
    rng = random.Random(seed)
    script, votes = history(rng)
    before, knows = script.machine.digest(), rng.choice([0, script.machine.newest_again])
    said = script.machine.foresight.of_hashed(hashed(votes), knows)
    for vote, outcome in zip(votes, said, strict=True):
        comes = copy_of(script)
        comes.seen = knows
        result = comes.do(command_of_vote(vote))
        assert isinstance(result, entry.VotesResult)
        assert [outcome] == list(result.outcomes + result.plain), vote
    assert before == script.machine.digest(), "nothing changes by looking"


def test_all_kinds_of_outcomes_are_met() -> None:
    met = set[int]()
    for seed in range(40):
        script, votes = history(random.Random(seed))
        met |= set(script.machine.foresight.of_hashed(hashed(votes), script.machine.newest_again))
    assert met >= set(Outcome) - {Outcome.EXPIRED_ID, Outcome.TOO_LARGE}


def test_a_vote_beyond_the_bound_of_all_totals_is_refused() -> None:
    script = Script()
    script.play(f"import mood happy={TOTAL_MAX - 1} sad=0")
    votes = [Vote("happy"), Vote("happy", weight=2)]
    assert [Outcome.APPLIED, Outcome.TOO_LARGE] == list(script.machine.foresight.of_hashed(hashed(votes), 0))


def test_of_a_whole_request_each_choice_has_its_outcome_and_its_key_and_number_are_known() -> None:
    script = Script()
    script.play("poll mood happy sad; producer p; batch p 1 1 happy; once k1 sad")
    looks = script.machine.foresight
    choices = [Vote("happy"), Vote("rage"), Vote("sad", poll="none")]
    assert [Outcome.APPLIED, Outcome.UNKNOWN_OPTION, Outcome.UNKNOWN_POLL] == list(looks.of_whole(choices, 0))
    assert [True, False] == [looks.is_known(key, KEY) for key in ("k1", "k2")]
    numbers = [("p", 1, 1), ("p", 1, 2), ("p", 1, 3), ("p", 2, 2), ("q", 1, 1)]
    assert [("p", 1, 2)] == [each for each in numbers if looks.is_next(*each)]
