"""X's stream: what is missed is found by a search, and a budget for each day holds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from quorate.ingest.social.network import HasFigures
from quorate.ingest.social.networks.x.budget import BudgetLimits, DailyBudget
from quorate.ingest.social.networks.x.snowflake import id_at
from tests.doubles.social.x import SEARCH, XTerms
from tests.support.social_inlet import SocialInlet, running
from tests.support.waiting import wait_for
from tests.unit.ingest.social.x_reading import (
    arrive,
    connected,
    double,
    gone,
    network,
    reading,
)

# ---- gaps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["end", "hang_up", "half_line", "reset"])
def test_what_was_written_while_it_was_not_connected_is_found(fault: str) -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as x:
        arrive(inlet, x.say("happy 0"))
        gone(x, fault, '{"data": {"id": "5", "text": "half happy"}}' if fault == "half_line" else "")
        ids = [x.say("happy 1"), x.say("happy 2"), x.say("neither")]
        connected(x, 2)
        arrive(inlet, *ids[:2])
        wait_for("the position moves on", lambda: int(inlet.positions[""]) >= int(ids[1]))
    assert {"happy 0", "happy 1", "happy 2"} == set(inlet.texts)
    assert [] == inlet.losses


def test_it_goes_on_from_its_position() -> None:
    """And the position is moved on only when all of the gap was put in."""
    inlet = SocialInlet("happy")
    with double(inlet, XTerms()) as x:
        with running(network(x, inlet), inlet):
            connected(x)
            arrive(inlet, x.say("happy before"))
        gone = [x.say(f"happy {number}") for number in range(250)]
        again = SocialInlet("happy", slept=inlet.slept)
        with running(network(x, again), again, inlet.positions):
            connected(x, 2)
            live = x.say("happy now")
            arrive(again, live, *gone)
            wait_for("the position moves on", lambda: int(again.positions.get("", "0")) >= int(live))
        assert [] == x.violations
    whole = next(put for put, positions in again.moves if int(positions.get("", "0")) >= int(gone[0]))
    assert set(gone) <= {post.id for post in again.posts[:whole]}


def test_an_edited_post_in_a_gap_votes_by_its_first_text() -> None:
    inlet = SocialInlet("happy", "sad")
    with reading(inlet) as x:
        arrive(inlet, x.say("happy 0"))
        gone(x)
        first = x.say("happy 1")
        x.edit(first, "happy or sad")
        connected(x, 2)
        arrive(inlet, first)
    assert {"happy 0", "happy 1"} == set(inlet.texts)


def test_what_is_older_than_the_search_knows_is_told() -> None:
    inlet = SocialInlet("happy")
    old = str(id_at((inlet.unix_s() - 9 * 86_400) * 1_000))
    with reading(inlet, positions={"": old}) as x:
        wait_for("it is told", lambda: inlet.losses)
        wait_for("the gap is done", lambda: int(inlet.positions.get("", "0")) > int(old))
    assert "49 hours before them are missing" in inlet.losses[0]
    assert 1 == len(x.state.searches)


def test_a_position_moves_with_the_time_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.ingest.social.networks.x.network.QUIET_TOLD_S", 0.1)
    monkeypatch.setattr("quorate.ingest.social.networks.x.marks.QUIET_S", -60)
    inlet = SocialInlet("happy")
    with reading(inlet, XTerms(keep_alive_s=0.05)):
        wait_for("a position", lambda: inlet.positions)
        first = int(inlet.positions[""])
        wait_for("it moves", lambda: int(inlet.positions[""]) > first)


def test_what_was_written_while_there_was_no_option_is_no_gap() -> None:
    inlet = SocialInlet()
    old = str(id_at(inlet.unix_s() * 1_000 - 3_600_000))
    with double(inlet) as x, running(network(x, inlet), inlet, {"": old}):
        x.say("happy before")
        wait_for("it has looked for rules", lambda: x.state.asked)
        inlet.change("happy")
        connected(x)
        arrive(inlet, id := x.say("happy"))
        wait_for("the position moves on", lambda: int(inlet.positions[""]) >= int(id))
    assert ["happy"] == inlet.texts
    assert [] == x.state.searches


# ---- the budget -----------------------------------------------------------------------------------------------------


def test_the_budget_stops_it_in_words_until_the_next_day(tmp_path: Path) -> None:
    inlet = SocialInlet("happy")
    budget = BudgetLimits(dollars_per_day=0.025)
    with reading(inlet, budget=budget, budget_file=tmp_path / "budget.json") as x:
        ids = [x.say(f"happy {number}") for number in range(5)]
        arrive(inlet, *ids)
        connected(x, 2)
        arrive(inlet, x.say("happy tomorrow"))
    assert ["budget"] == inlet.reasons
    assert "5 posts ($0.03) a day" in inlet.losses[0]
    assert [] == x.state.searches, "what was written meanwhile is not paid for"


def test_a_budget_that_is_used_up_is_so_after_a_restart(tmp_path: Path) -> None:
    inlet = SocialInlet("happy")
    with DailyBudget.held(BudgetLimits(5), tmp_path / "budget.json", inlet.unix_s) as budget:
        budget.spend(5)
    with reading(inlet, budget=BudgetLimits(5), budget_file=tmp_path / "budget.json"):
        assert ["budget"] == inlet.reasons


def test_figures_tell_what_was_spent() -> None:
    inlet = SocialInlet("happy")
    with double(inlet) as x:
        stream = network(x, inlet, budget=BudgetLimits(1_000))
        before = stream.figures()
        with running(stream, inlet):
            connected(x)
            arrive(inlet, x.say("happy"), x.say("happy"))
            spent = stream.figures()
    assert isinstance(stream, HasFigures)
    assert before.keys() == spent.keys()
    assert (2, 1_000, 0.01, 0) == tuple(spent.values())


def test_searches_count_and_stop_at_the_budget() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet, budget=BudgetLimits(60)) as x:
        arrive(inlet, x.say("happy 0"))
        gone(x)
        for number in range(200):
            x.say(f"happy {number}")
        connected(x, 2)
        wait_for("it is told", lambda: inlet.losses)
    assert "could not be filled: the budget of the day is used up" in inlet.losses[0]
    assert x.state.delivered <= 70


# ---- all of it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_every_post_comes_through_many_disconnects(seed: int) -> None:
    rng = random.Random(seed)
    inlet = SocialInlet("happy", "first")
    with reading(inlet, XTerms(connects=1000, questions=10_000, rule_changes=10_000), connects=1000) as x:
        ids = []
        for turn in range(40):
            ids += [x.say(f"happy {turn}") for _ in range(rng.randrange(4))]
            if rng.random() < 0.2:
                inlet.change("happy", f"o{turn}")
            for status in rng.sample([503, 0, 429], rng.randrange(2)):
                x.answer_next(status)
            x.fail(rng.choice(["end", "hang_up", "reset"]))
            ids += [x.say(f"happy between {turn}") for _ in range(rng.randrange(3))]
            connected(x, turn + 2)
        ids.append(x.say("happy at last"))
        arrive(inlet, *ids)
        wait_for("the position moves on", lambda: int(inlet.positions[""]) >= int(ids[-1]))
    assert set(ids) == {post.id for post in inlet.posts}
    assert [] == inlet.losses


def test_a_stop_while_x_does_not_answer(tmp_path: Path) -> None:
    inlet = SocialInlet("happy")
    with double(inlet) as x:
        x.answer_next(503, path=SEARCH)
        with running(network(x, inlet), inlet, {"": str(id_at(inlet.unix_s() * 1_000 - 60_000))}):
            connected(x)
