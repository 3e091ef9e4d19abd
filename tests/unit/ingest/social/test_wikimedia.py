"""Wikimedia's changes, read from a double that speaks as the real EventStreams does."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.networks.defaults import WIKIMEDIA_URL
from quorate.ingest.social.networks.wikimedia.network import WikimediaNetwork
from quorate.ingest.social.post import Post
from tests.doubles.social.sse_answer import Fault
from tests.doubles.social.wikimedia import CODFW, EQIAD, WikimediaDouble
from tests.support.social_inlet import RunningNetwork, SocialInlet, running
from tests.support.waiting import let_pass, wait_for

NOW = 1_795_000_000_000
CONTACT = "https://example.org/counter"


def network(double: WikimediaDouble, *, since_ms: int = 0, silence_s: float = 10) -> WikimediaNetwork:
    return WikimediaNetwork(double.url, contact=CONTACT, since_ms=since_ms, silence_s=silence_s)


def wait_for_posts(inlet: SocialInlet, number: int) -> None:
    """Different ones: what is repeated is repeated with the same id."""
    wait_for("the posts come", lambda: len(ids(inlet)) >= number, seen=lambda: f"{len(ids(inlet))} came")


def ids(inlet: SocialInlet) -> set[str]:
    return {post.id for post in inlet.posts}


def ids_of(double: WikimediaDouble) -> set[str]:
    changes = [json.loads(record.value) for record in double.log.records]
    return {change["meta"]["id"] for change in changes if change["meta"]["domain"] != "canary"}


# ---- what a post is ------------------------------------------------------------------------------------------------


def test_a_change_becomes_a_post() -> None:
    with WikimediaDouble() as double:
        change = double.publish(
            title="Paris", parsedcomment='<span class="autocomment">Food: </span> so happy', ms=NOW, user="Ann"
        )
        again = double.publish(title="Category:Cities", type="categorize", comment="[[:Paris]] added", ms=NOW)
        inlet = SocialInlet()
        with running(network(double, since_ms=NOW), inlet):
            wait_for_posts(inlet, 2)
    assert Post(change["meta"]["id"], "Paris\nFood: so happy", "Ann", ("enwiki",), False, NOW) == inlet.posts[0]
    assert (again["meta"]["id"], True) == (inlet.posts[1].id, inlet.posts[1].is_repost)


def test_what_fields_are_missing_is_no_matter_and_what_is_no_change_is_told() -> None:
    with WikimediaDouble() as double:
        for raw in (b"{}", b'{"title": 5, "meta": "x", "user": null}', b"[1]", b'{"half', b'"text"', b"\xff\xfe"):
            double.publish_raw(raw, NOW)
        double.publish(title="last", ms=NOW)
        inlet = SocialInlet()
        with running(network(double, since_ms=NOW), inlet):
            wait_for("the last one comes", lambda: "last" in inlet.texts)
    assert (["", "", "last"], 3, 1) == (inlet.texts, len(ids(inlet)), len(inlet.losses))


def test_canaries_are_no_posts_but_move_the_place() -> None:
    with WikimediaDouble(ids="offset") as double:
        double.canary(NOW)
        inlet = SocialInlet()
        with running(network(double, since_ms=NOW), inlet):
            wait_for("the place moves", lambda: '"offset":1' in inlet.positions.get("", ""))
    assert [] == inlet.posts


# ---- from where on -------------------------------------------------------------------------------------------------


def test_without_a_place_it_begins_now_and_remembers_that_at_once() -> None:
    """A kill before the first change would else begin later."""
    with WikimediaDouble() as double:
        double.publish(title="before", ms=NOW)
        inlet = SocialInlet()
        with running(network(double), inlet):
            wait_for("the place is known", lambda: inlet.positions)
        double.publish(title="between")
        again = SocialInlet()
        with running(network(double), again, inlet.positions):
            wait_for_posts(again, 1)
    assert ["between"] == again.texts
    assert [{}, "since"] == [double.asked[0], *double.asked[1]]


def test_it_goes_on_where_it_was_and_repeats_only_the_last() -> None:
    with WikimediaDouble() as double:
        double.publish_many(50)
        inlet = SocialInlet()
        with running(network(double, since_ms=1), inlet):
            wait_for_posts(inlet, 50)
        double.publish_many(20, seed=1, start_ms=NOW + 10_000)
        again = SocialInlet()
        with running(network(double), again, inlet.positions):
            wait_for_posts(again, 20 + 1)
    assert ids_of(double) == ids(inlet) | ids(again)
    assert 10 > len(ids(inlet) & ids(again)), "what has the last one's time, or came late"
    assert [] == again.losses


@pytest.mark.parametrize("kind", ["time", "offset"])
def test_what_the_server_does_not_have_any_more_is_told_once(kind: str) -> None:
    with WikimediaDouble(ids="time" if kind == "time" else "offset") as double:
        double.publish_many(50)
        inlet = SocialInlet()
        with running(network(double, since_ms=1), inlet):
            wait_for_posts(inlet, 50)
        double.publish_many(100, seed=1, start_ms=NOW + 10_000_000)
        double.forget(80)
        again = SocialInlet()
        with running(network(double), again, inlet.positions):
            if kind == "offset":  # Kafka goes to the end, if it has an offset no more
                wait_for("it is connected", lambda: again.connects)
                double.publish(title="later")
            wait_for_posts(again, 1)
            wait_for("it is told", lambda: again.losses)
    assert 1 == len(again.losses)
    assert "history begins behind" in again.losses[0]


def test_the_other_data_centre_may_take_over_while_nobody_reads() -> None:
    """Its topic had no event, so its place in the id was its end."""
    with WikimediaDouble() as double:
        double.publish(title="here", ms=NOW)
        inlet = SocialInlet()
        with running(network(double, since_ms=1), inlet):
            wait_for_posts(inlet, 1)
        double.publish(title="there", ms=NOW + 500, topic=CODFW)
        again = SocialInlet()
        with running(network(double), again, inlet.positions):
            wait_for_posts(again, 2)
    assert ({"here", "there"}, []) == (set(again.texts), again.losses)


def test_a_place_that_the_server_does_not_know_falls_back_to_the_time() -> None:
    with WikimediaDouble() as double:
        double.publish(title="one", ms=NOW)
        inlet = SocialInlet()
        with running(network(double, since_ms=1), inlet):
            wait_for_posts(inlet, 1)
        moved = inlet.positions[""].replace(EQIAD, "eqiad.renamed")
        double.publish(title="two", ms=NOW + 100)
        again = SocialInlet()
        with running(network(double), again, {"": moved}):
            wait_for("the second one comes", lambda: "two" in again.texts)
    assert (["place_refused"], 1) == (again.reasons, len(again.losses))


def test_a_place_at_which_the_server_fails_each_time_falls_back_to_the_time() -> None:
    with WikimediaDouble() as double:
        double.publish(title="one", ms=NOW)
        inlet = SocialInlet()
        with running(network(double, since_ms=1), inlet):
            wait_for_posts(inlet, 1)
        double.fails_at_ids = True
        double.publish(title="two", ms=NOW + 100)
        again = SocialInlet()
        with running(network(double), again, inlet.positions):
            wait_for("the second one comes", lambda: "two" in again.texts)
    assert [*["hung_up"] * 3, "place_refused"] == again.reasons


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_it_says_who_it_is_as_the_policy_asks() -> None:
    with WikimediaDouble() as double, running(network(double), SocialInlet()):
        wait_for("it is connected", lambda: double.agents)
    assert double.agents[0].startswith("quorate/")
    assert (f"({CONTACT}) python-requests/" in double.agents[0], []) == (True, double.violations)


@pytest.mark.parametrize("contact", ["me (at home)", "me\nX-Evil: 1", "x" * 300, "Jörg"])
def test_a_contact_that_breaks_the_header_is_refused(contact: str) -> None:
    with pytest.raises(ConfigError, match="without brackets"):
        WikimediaNetwork(contact=contact)


@pytest.mark.parametrize(
    ("status", "headers", "least_s", "reason"),
    [
        (429, {"Retry-After": "7"}, 15, "rate_limited"),
        (429, {"Retry-After": "90"}, 90, "rate_limited"),
        (429, {}, 15, "rate_limited"),
        (503, {"Retry-After": "12"}, 12, "http_503"),
        (500, {}, 1, "http_500"),
        (502, {}, 1, "http_502"),
    ],
)
def test_it_waits_as_long_as_it_is_asked_to(status: int, headers: dict[str, str], least_s: float, reason: str) -> None:
    inlet = SocialInlet()
    with WikimediaDouble(clock=inlet.clock) as double:
        double.faults = [Fault("status", status=status, headers=headers)]
        with running(network(double), inlet):
            wait_for("it is connected", lambda: inlet.connects)
    assert ([reason], [], True) == (inlet.reasons, double.violations, least_s <= inlet.pauses[0] <= 1.1 * least_s)


def test_it_waits_longer_each_time() -> None:
    inlet = SocialInlet()
    with WikimediaDouble(clock=inlet.clock) as double:
        double.faults = [Fault("status", status=503)] * 8
        with running(network(double), inlet):
            wait_for("it is connected", lambda: inlet.connects)
    asked_for_s = (1, 2, 4, 8, 16, 32, 60, 60)
    assert all(asked_s <= pause_s <= 1.1 * asked_s for asked_s, pause_s in zip(asked_for_s, inlet.pauses, strict=False))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", status=404, body="Not found"), "404: Not found"),
        (Fault("status", status=400, body="<html>no"), "answers 400$"),
        (Fault("status", status=301, headers={"Location": "https://other.example/v2"}), "redirects to https://other"),
        (Fault("status", status=200, headers={"Content-Type": "text/html"}), "text/html and no events"),
    ],
)
def test_a_wrong_url_is_said_in_words(fault: Fault, words: str) -> None:
    with WikimediaDouble() as double:
        double.faults = [fault]
        run = RunningNetwork(network(double), SocialInlet(), {})
        wait_for("it ends", lambda: run.is_over)
    assert isinstance(run.error, ConfigError)
    assert re.search(words, str(run.error))


def test_who_gives_no_contact_is_told_why_it_is_refused() -> None:
    with WikimediaDouble() as double:
        double.faults = [Fault("status", status=403, body="Please respect our robot policy")]
        run = RunningNetwork(WikimediaNetwork(double.url), SocialInlet(), {})
        wait_for("it ends", lambda: run.is_over)
    assert "give --contact" in str(run.error)


def test_a_server_that_has_sent_changes_may_be_wrong_for_a_while() -> None:
    """Nobody is there to mend it at night, and it passes."""
    inlet = SocialInlet()
    with WikimediaDouble(clock=inlet.clock) as double:
        double.faults = [Fault("end", 1), *[Fault("status", status=status) for status in (403, 404, 301, 200)]]
        with running(network(double), inlet):
            wait_for("it is connected again", lambda: len(inlet.connects) == 2)
    assert ["hung_up", "http_403", "http_404", "redirected", "no_stream"] == inlet.reasons


def test_it_has_one_connection_at_a_time() -> None:
    """Two are allowed, and somebody else may have the other one."""
    with WikimediaDouble() as double:
        double.publish_many(30)
        other = SocialInlet()
        inlet = SocialInlet()
        with running(network(double), other):
            wait_for("the other one is connected", lambda: other.connects)
            double.faults = [Fault("hang_up", after_bytes=9_000)] * 20
            with running(network(double, since_ms=1), inlet):
                wait_for_posts(inlet, 30)
    assert ["hung_up"] == list(set(inlet.reasons))


# ---- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hang_up", "reset", "stall", "end"])
def test_a_connection_that_ends_costs_nothing(kind: str) -> None:
    inlet = SocialInlet()
    with WikimediaDouble() as double:
        double.publish_many(60)
        double.fail(kind=kind, after_bytes=20_011)
        with running(network(double, since_ms=1, silence_s=0.5 if kind == "stall" else 30), inlet):
            wait_for_posts(inlet, 60)
    assert (ids_of(double), []) == (ids(inlet), inlet.losses)
    assert {"stalled" if kind == "stall" else "hung_up"} == set(inlet.reasons)


def test_a_server_that_does_not_answer_is_asked_again() -> None:
    inlet = SocialInlet()
    with WikimediaDouble() as double:
        double.faults = [Fault("silent")]
        with running(network(double, silence_s=0.3), inlet):
            wait_for("it is connected", lambda: inlet.connects)
    assert {"stalled"} == set(inlet.reasons)


def test_a_stop_ends_it_at_once_wherever_it_is() -> None:
    """`running` asserts that it ends within 5 s."""
    for faults in ([Fault("silent")], [Fault("stall", 9_000)], []):
        with WikimediaDouble() as double:
            double.publish_many(20)
            double.faults = faults
            inlet = SocialInlet()
            with running(network(double, since_ms=1, silence_s=60), inlet):
                wait_for("it has asked", lambda: double.agents)
                let_pass(0.05, because="it is to wait for an answer, or for more of it")


def test_a_slow_inlet_slows_the_reading_and_loses_nothing() -> None:
    inlet = SocialInlet(room=10)
    with WikimediaDouble() as double:
        double.publish_many(400)
        with running(network(double, since_ms=1), inlet):
            for _ in range(400):
                inlet.take_more(10)
            wait_for_posts(inlet, 400)
    assert ids_of(double) == ids(inlet)


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("kind", ["time", "offset"])
def test_a_hundred_hang_ups_at_random_lose_nothing(kind: str, gzip: bool) -> None:
    """And the places never lead back: what is repeated is little. All of it under the same ids."""
    random_ = random.Random(17)
    cuts = iter([random_.randint(0, 4_000 if gzip else 16_000) for _ in range(100)])
    inlet = SocialInlet()
    double = WikimediaDouble(ids="time" if kind == "time" else "offset", gzip=gzip, cut=lambda: next(cuts, None))
    with double:
        double.publish_many(1_500, seed=3)
        with running(network(double, since_ms=1), inlet):
            wait_for_posts(inlet, 1_500)
    assert ids_of(double) == ids(inlet)
    assert ([], []) == (inlet.losses, double.violations)
    assert max(Counter(post.id for post in inlet.posts).values()) < 60
    assert 2 * 1_500 > len(inlet.posts)


def test_the_default_is_the_public_server() -> None:
    """Nothing is asked of it here."""
    made = WikimediaNetwork()
    assert ("https://stream.wikimedia.org/v2/stream/recentchange", "exact", "wikimedia") == (
        made.source,
        made.promise,
        made.name,
    )
    assert WIKIMEDIA_URL == made.source
