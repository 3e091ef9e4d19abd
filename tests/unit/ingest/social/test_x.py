"""X's filtered stream against a server that speaks its API, and checks what its client does."""

from __future__ import annotations

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.networks.x.access import XKeys
from quorate.ingest.social.networks.x.network import X
from quorate.ingest.social.networks.x.rules import RuleLimits
from quorate.ingest.social.networks.x.snowflake import ms_of
from tests.doubles.social.x import RULES, TOKEN, XTerms, connection_problem
from tests.support.social_inlet import RunningNetwork, SocialInlet, running
from tests.support.waiting import wait_for
from tests.unit.ingest.social.x_reading import (
    KEYS,
    arrive,
    connected,
    double,
    network,
    reading,
    rules,
)

# ---- posts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gzip", [False, True])
def test_posts_that_mention_an_option_come(gzip: bool) -> None:
    inlet = SocialInlet("happy", "ice cream")
    with reading(inlet, XTerms(gzip=gzip)) as x:
        assert {'happy OR #happy OR "ice cream" OR #icecream'} == rules(x)
        ids = [x.say("I am HAPPY"), x.say("an ice-cream &lt;3", author="9"), x.say("yes", tags=["IceCream"])]
        x.say("neither")
        arrive(inlet, *ids)
    assert ids == [post.id for post in inlet.posts]
    assert ("9", "an ice-cream <3") == (inlet.posts[1].author, inlet.posts[1].text)
    assert ("IceCream",) == inlet.posts[2].tags
    assert abs(inlet.posts[0].created_ms - ms_of(int(ids[0]))) < 2
    assert ids[-1] == inlet.positions[""]
    assert 3 == x.state.delivered


def test_a_repost_has_the_whole_text_of_the_original() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as x:
        original = x.say(f"{'so ' * 100} happy", tags=["Mood"])
        repost = x.say("", author="8", reposts=original)
        arrive(inlet, repost)
    assert [False, True] == [post.is_repost for post in inlet.posts]
    assert inlet.posts[0].text == inlet.posts[1].text
    assert (("Mood",), "8") == (inlet.posts[1].tags, inlet.posts[1].author)


def test_without_reposts_none_is_asked_for_and_paid() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet, reposts=False) as x:
        assert {"(happy OR #happy) -is:retweet"} == rules(x)
        original = x.say("happy")
        x.say("", reposts=original)
        arrive(inlet, x.say("happy again"))
    assert 2 == len(inlet.posts) == x.state.delivered


def test_an_edit_never_votes() -> None:
    inlet = SocialInlet("happy", "sad")
    with reading(inlet) as x:
        first = x.say("happy")
        x.edit(first, "sad")
        arrive(inlet, x.say("sad at last"))
    assert ["happy", "sad at last"] == inlet.texts


def test_messages_that_are_not_understood_are_told() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as x:
        arrive(inlet, x.say("happy"))
        x.send(b'{"data": {"id": 5}}\r\n{"data": {"id": "6", "text": "ok"}, "errors": [{"title": "Not Found"}]}\r\n')
        arrive(inlet, "6")
    assert ["1 message of X could not be understood"] == inlet.losses
    assert [] == inlet.disconnects


# ---- credentials ----------------------------------------------------------------------------------------------------


def test_wrong_credentials_end_it_in_words() -> None:
    for keys, words in ((XKeys(key="k", secret="s"), "does not accept SP_X_KEY"), (XKeys(bearer="b"), "SP_X_BEARER")):
        inlet = SocialInlet("happy")
        with double(inlet) as x, pytest.raises(ConfigError, match=words):
            X(keys, x.base).run(inlet, {})
        assert [] == inlet.pauses


def test_a_bearer_token_is_used_as_it_is() -> None:
    inlet = SocialInlet("happy")
    with double(inlet) as x:
        x.state.tokens.add("given")
        with running(X(XKeys(bearer="given"), x.base), inlet):
            connected(x)
        assert 0 == x.state.fetched


def test_a_token_that_is_withdrawn_is_fetched_anew() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as x:
        x.withdraw_tokens()
        x.fail("hang_up")
        connected(x, 2)
        arrive(inlet, x.say("happy"))
        assert 2 == x.state.fetched
    assert [200, 401, 200] == x.state.statuses


def test_credentials_go_nowhere_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="in the clear"):
        X(KEYS, "http://api.example")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (RULES, 403, "must belong to a project"),
        (RULES, 402, "no credits"),
        (RULES, 404, "the URL"),
        (TOKEN, 403, "SP_X_KEY"),
    ],
)
def test_what_only_a_person_can_mend_ends_it_at_the_start(path: str, status: int, words: str) -> None:
    inlet = SocialInlet("happy")
    with double(inlet) as x:
        x.answer_next(status, path=path)
        with pytest.raises(ConfigError, match=words):
            network(x, inlet).run(inlet, {})


def test_what_was_accepted_before_is_tried_some_times_more() -> None:
    inlet = SocialInlet("happy")
    with double(inlet) as x:
        run = RunningNetwork(network(x, inlet), inlet, {})
        connected(x)
        arrive(inlet, x.say("happy"))
        for _ in range(10):
            x.answer_next(403)
        x.fail("hang_up")
        wait_for("it gives up", lambda: run.is_over)
        assert "403" in str(run.error)
        assert [200] + [403] * 6 == x.state.statuses
        assert [] == x.violations


# ---- connecting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "least"),
    [
        ([503, 503, 500], [5, 10, 20]),
        ([429, 429, 429], [60, 120, 240]),
        ([503, 429, 503], [5, 60, 10]),
        ([0, 0, 0], [0.25, 0.5, 0.75]),
    ],
)
def test_it_pauses_as_the_documents_say(answers: list[int], least: list[float]) -> None:
    inlet = SocialInlet("happy")
    with double(inlet) as x:
        for status in answers:
            x.answer_next(status)
        with running(network(x, inlet), inlet):
            connected(x)
        assert [] == x.violations
    assert [*answers, 200] == x.state.statuses
    assert all(low <= pause <= 1.1 * low for low, pause in zip(least, inlet.pauses, strict=True))


def test_it_waits_until_the_limit_is_over() -> None:
    inlet = SocialInlet("happy")
    with double(inlet) as x:
        x.answer_next(429, {"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(int(inlet.unix_s()) + 800)})
        with running(network(x, inlet), inlet):
            connected(x)
        assert [] == x.violations
    assert 795 < inlet.pauses[0] <= 800


def test_it_never_connects_more_often_than_is_allowed() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet, XTerms(connects=5), connects=5) as x:
        for turn in range(12):
            arrive(inlet, x.say("happy"))
            x.fail("hang_up")
            connected(x, turn + 2)
    assert {200} == set(x.state.statuses)


@pytest.mark.parametrize(
    ("problem", "reason", "least"),
    [
        (
            {"errors": [{"title": "operational-disconnect", "disconnect_type": "UpstreamOperationalDisconnect"}]},
            "operational",
            0,
        ),
        (connection_problem("TooManyConnections", "at the limit"), "too_many", 60),
        ({"errors": [{"title": "UsageCapExceeded", "detail": "monthly"}]}, "too_many", 60),
    ],
)
def test_what_the_stream_says_of_its_end(problem: object, reason: str, least: float) -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as x:
        x.send(problem)
        connected(x, 2)
        arrive(inlet, x.say("happy"))
    assert [reason] == inlet.reasons
    assert least <= max([0, *(pause for pause in inlet.pauses if pause < 70)])


def test_a_problem_with_one_post_does_not_end_the_stream() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as x:
        x.send({"errors": [{"title": "Not Found Error", "detail": "no such post", "resource_type": "tweet"}]})
        arrive(inlet, x.say("happy"))
    assert [] == inlet.disconnects


def test_one_connection_that_x_still_has_is_waited_for() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as x:
        x.answer_next(429, body=connection_problem("TooManyConnections", "at the limit"))
        x.fail("hang_up")
        connected(x, 2)
    assert ["hung_up", "rate_limited"] == inlet.reasons
    assert "at the limit" in inlet.disconnects[1][1]


def test_a_stalled_connection_is_given_up() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet, XTerms(keep_alive_s=0.1), silence_s=0.5) as x:
        x.fail("stall")
        connected(x, 2)
        arrive(inlet, x.say("happy"))
    assert {"stalled"} == set(inlet.reasons)


# ---- rules ----------------------------------------------------------------------------------------------------------


def test_new_options_need_no_new_connection() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as x:
        inlet.change("happy", "sad")
        wait_for("the rule is there", lambda: len(rules(x)) == 2)
        arrive(inlet, x.say("sad"))
        inlet.change("sad")
        wait_for("the other one is gone", lambda: rules(x) == {"sad OR #sad"})
    assert [200] == x.state.statuses


def test_an_old_rule_goes_only_when_its_successors_act() -> None:
    """X says: most act within 20 seconds."""
    inlet = SocialInlet("happy", "sad")
    with reading(inlet, XTerms(rules_act_after_s=0.5), rules_act_s=1.0) as x:
        both = "happy OR #happy OR sad OR #sad"
        wait_for("it acts", lambda: x.book.wants("sad", [], is_repost=False))
        inlet.change("sad")
        wait_for("the new rule is there", lambda: rules(x) == {both, "sad OR #sad"})
        arrive(inlet, x.say("sad at once"))
        wait_for("the old rule is gone", lambda: rules(x) == {"sad OR #sad"})
        arrive(inlet, x.say("sad later"))


def test_options_that_come_back_keep_their_rule() -> None:
    inlet = SocialInlet("happy", "sad")
    with reading(inlet, rules_act_s=1.0) as x:
        both = rules(x)
        inlet.change("sad")
        wait_for("the new rule is there", lambda: len(rules(x)) == 2)
        inlet.change("happy", "sad")
        wait_for("it is gone again", lambda: rules(x) == both)


def test_others_rules_are_let_be() -> None:
    inlet = SocialInlet("happy")
    with double(inlet) as x:
        x.book.add(["cats", "has:media"][0], "somebody's")
        x.book.add("old", "quorate")
        with running(network(x, inlet), inlet):
            connected(x)
            assert {"cats", "happy OR #happy"} == rules(x)


def test_rules_that_somebody_removed_are_made_again() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as x:
        x.book.kept.clear()
        x.fail("hang_up")
        connected(x, 2)
        arrive(inlet, x.say("happy"))
    assert [200, 409, 200] == x.state.statuses
    assert ["hung_up", "no_rules"] == inlet.reasons


def test_an_option_that_x_does_not_take_does_not_stop_the_others() -> None:
    inlet = SocialInlet("happy", "bad one", "sad", "glad", "mad")
    with double(inlet) as x:
        x.book.refused.add('"bad one"')
        with running(network(x, inlet), inlet):
            connected(x)
            arrive(inlet, x.say("happy"), x.say("sad"), x.say("glad"), x.say("mad"), x.say("x", tags=["badone"]))
    assert ["bad one" in loss for loss in inlet.losses] == [True]


def test_more_than_the_account_takes_is_told() -> None:
    inlet = SocialInlet(*(f"option{number}" for number in range(100)))
    with reading(inlet, XTerms(rules=3, rule_characters=100), rules=RuleLimits(3, 100)) as x:
        assert 3 == len(rules(x))
        arrive(inlet, x.say("option0"))
    assert "X cannot be asked for" in inlet.losses[0]


def test_many_options_are_read_a_page_after_the_other_and_changed_a_hundred_at_once() -> None:
    inlet = SocialInlet(*(f"option{number}" for number in range(3000)))
    with reading(inlet, XTerms(page_of_rules=10)) as x:
        before = rules(x)
        assert 60 < len(before) < 200
        inlet.change(*(f"option{number}" for number in range(2999)))
        wait_for("one rule is another one", lambda: rules(x) != before and len(rules(x)) == len(before))
        assert 1 == len(before - rules(x))
        arrive(inlet, x.say("option2998"))


def test_without_options_it_waits() -> None:
    inlet = SocialInlet()
    with double(inlet) as x:
        with running(network(x, inlet), inlet):
            inlet.change("happy")
            connected(x)
            arrive(inlet, x.say("happy"))
        assert [] == x.violations
    assert [200] == x.state.statuses
