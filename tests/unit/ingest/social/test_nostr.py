"""Nostr, read from relays that check their client."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.networks.nostr.network import Nostr
from tests.doubles.social.nostr import RelayDouble, RelayTerms, note
from tests.support.social_inlet import SocialInlet, running
from tests.support.waiting import wait_for


@pytest.fixture
def relay() -> Iterator[RelayDouble]:
    with RelayDouble() as each:
        yield each
        assert [] == each.violations


def listening(relay: RelayDouble, live: int = 1) -> None:
    wait_for("the subscription", lambda: relay.live >= live)


def place(relay: RelayDouble, ago_s: int) -> dict[str, str]:
    return {relay.url: str(int(time.time()) - ago_s)}


def test_notes_come_with_their_author_and_tags(relay: RelayDouble) -> None:
    inlet = SocialInlet()
    with running(Nostr([relay.url]), inlet):
        listening(relay)
        relay.say('so "happy"\n\ttoday \\o/ 🎉', tags=("joy",), author="b" * 64)
        wait_for("the note", lambda: inlet.posts)
    post = inlet.posts[0]
    assert ('so "happy"\n\ttoday \\o/ 🎉', "b" * 64, ("joy",)) == (post.text, post.author, post.tags)
    assert post.id == relay.stored[0]["id"]


def test_what_was_said_before_the_first_start_is_not_read(relay: RelayDouble) -> None:
    relay.say("long ago", at_s=int(time.time()) - 60)
    inlet = SocialInlet()
    with running(Nostr([relay.url]), inlet):
        listening(relay)
        relay.say("now")
        wait_for("the note", lambda: inlet.posts)
        wait_for("a place", lambda: relay.url in inlet.positions)
    assert ["now"] == inlet.texts


def test_what_was_said_meanwhile_comes_page_by_page_before_the_place_moves() -> None:
    now_s = int(time.time())
    with RelayDouble(RelayTerms(page=10)) as relay:
        for at in range(95):
            relay.say(f"note {at}", at_s=now_s - 1_000 + at * 10)
        inlet = SocialInlet()
        start = place(relay, 3_600)
        with running(Nostr([relay.url]), inlet, start):
            wait_for("the place moves", lambda: relay.url in inlet.positions)
        assert {f"note {at}" for at in range(95)} == set(inlet.texts)
        assert len(inlet.texts) == len(set(inlet.texts))
        assert next(count for count, positions in inlet.moves if positions) == 95
        assert int(start[relay.url]) - 15 * 60 == relay.requests[0][1][0]["since"]  # the overlap
    assert [] == inlet.losses


def test_notes_that_are_dated_in_the_future_hide_none() -> None:
    now_s = int(time.time())
    with RelayDouble(RelayTerms(page=5)) as relay:
        for at in range(20):
            relay.say(f"note {at}", at_s=now_s + 600 + at)
        inlet = SocialInlet()
        with running(Nostr([relay.url]), inlet, place(relay, 60)):
            wait_for("the place moves", lambda: relay.url in inlet.positions)
    assert {f"note {at}" for at in range(20)} == set(inlet.texts)


def test_a_relay_that_says_that_it_sent_all_is_not_asked_again() -> None:
    with RelayDouble(RelayTerms(tells_end=True)) as relay:
        relay.say("one", "two")
        inlet = SocialInlet()
        with running(Nostr([relay.url]), inlet, place(relay, 60)):
            wait_for("the place moves", lambda: relay.url in inlet.positions)
        assert ["live"] == [subscription for subscription, _ in relay.requests]
    assert {"one", "two"} == set(inlet.texts)


def test_more_notes_of_one_second_than_a_page_are_told_as_lost() -> None:
    at_s = int(time.time()) - 100
    with RelayDouble(RelayTerms(page=10)) as relay:
        for number in range(15):
            relay.say(f"burst {number}", at_s=at_s)
        relay.say("before", at_s=at_s - 50)
        inlet = SocialInlet()
        with running(Nostr([relay.url]), inlet, place(relay, 600)):
            wait_for("the place moves", lambda: relay.url in inlet.positions)
    assert "before" in inlet.texts
    assert 1 == len(inlet.losses)
    assert "one second" in inlet.losses[0]


def test_a_note_of_several_relays_comes_once(relay: RelayDouble) -> None:
    inlet = SocialInlet()
    with RelayDouble() as other, running(Nostr([relay.url, other.url]), inlet):
        listening(relay)
        listening(other)
        both = note("on both", at_s=int(time.time()))
        relay.send(both)
        wait_for("the note", lambda: inlet.posts)
        other.send(both)
        other.say("only there")
        wait_for("the other", lambda: "only there" in inlet.texts)
    assert ["on both", "only there"] == inlet.texts


def test_a_note_whose_id_is_not_its_hash_is_no_note_and_hides_none(relay: RelayDouble) -> None:
    inlet, network = SocialInlet(), Nostr([relay.url])
    genuine = note("genuine", at_s=int(time.time()))
    with running(network, inlet):
        listening(relay)
        relay.send({**genuine, "content": "forged"})
        relay.send(genuine)
        wait_for("the note", lambda: inlet.posts)
    assert ["genuine"] == inlet.texts
    assert {"forged_notes": 1} == network.figures()


def test_hashtags_alone_are_asked_for_and_new_options_too(relay: RelayDouble) -> None:
    inlet = SocialInlet("New York", "+1")
    with running(Nostr([relay.url], by_tags=True), inlet):
        listening(relay)
        relay.say("no tag")
        relay.say("a tag", tags=("newyork",))
        wait_for("the note", lambda: inlet.posts)
        inlet.change("New York", "Paris")
        wait_for("it is asked for", lambda: len(relay.requests) == 2)
        relay.say("another", tags=("paris",))
        wait_for("the other note", lambda: "another" in inlet.texts)
    assert {"a tag", "another"} == set(inlet.texts)
    assert [["newyork", "1"], ["newyork", "paris"]] == [filters[0]["#t"] for _, filters in relay.requests]


@pytest.mark.parametrize("fault", ["hang_up", "half", "reset", "close"])
def test_what_is_said_after_a_break_comes(relay: RelayDouble, fault: str) -> None:
    inlet = SocialInlet()
    with running(Nostr([relay.url]), inlet):
        listening(relay)
        relay.say("one")
        wait_for("a place", lambda: relay.url in inlet.positions and inlet.posts)
        relay.fail(fault)  # type: ignore[arg-type]
        relay.say("two")
        wait_for("the second", lambda: "two" in inlet.texts)
    assert ["hung_up"] == inlet.reasons[:1]


def test_a_limit_is_waited_for(relay: RelayDouble) -> None:
    inlet = SocialInlet()
    relay.close_next("rate-limited: slow down")
    with running(Nostr([relay.url]), inlet):
        listening(relay)
    assert ["rate_limited"] == inlet.reasons
    assert any(pause_s >= 60 for pause_s in inlet.pauses)


def test_where_no_relay_lets_us_read_it_is_said(relay: RelayDouble) -> None:
    relay.close_next("auth-required: who are you?")
    refused = pytest.raises(ConfigError, match="auth-required")
    with refused, running(Nostr([relay.url]), SocialInlet()) as run:
        wait_for("it ends", lambda: run.is_over)


def test_another_relay_is_enough(relay: RelayDouble) -> None:
    inlet = SocialInlet()
    relay.close_next("restricted: members alone")
    with RelayDouble() as other, running(Nostr([relay.url, other.url]), inlet):
        listening(other)
        other.say("heard")
        wait_for("the note", lambda: inlet.posts)
    assert ["heard"] == inlet.texts


def test_a_relay_that_sends_more_than_it_is_asked_for_hides_no_note() -> None:
    """Reactions and reposts are no notes, and what is older than the gap does not end it."""
    now_s = int(time.time())
    inlet = SocialInlet()
    with RelayDouble(RelayTerms(page=10, heeds_filters=False)) as relay:
        for at in range(30):
            relay.say(f"note {at}", at_s=now_s - 900 + at * 10)
        relay.send(note("a reaction", at_s=now_s - 5, kind=7))
        relay.send(note("a repost", at_s=now_s - 6, kind=6))
        relay.stored.insert(0, note("from the beginning", at_s=1))
        place = {relay.url: str(now_s - 60)}
        with running(Nostr([relay.url]), inlet, place):
            wait_for(
                "the place", lambda: int(inlet.positions.get(relay.url, 0)) >= now_s, seen=lambda: str(inlet.texts)
            )
            relay.send(note("a live reaction", at_s=now_s, kind=7))
            relay.say("live")
            wait_for("the last note", lambda: "live" in inlet.texts)
    assert {*(f"note {at}" for at in range(30)), "from the beginning", "live"} >= set(inlet.texts)
    assert {*(f"note {at}" for at in range(30)), "live"} <= set(inlet.texts)


def test_notes_that_cannot_be_read_are_told_once_and_hide_no_other(relay: RelayDouble) -> None:
    now_s = int(time.time())
    for at in range(150):
        relay.send({**note(f"broken {at}", at_s=now_s - 60), "tags": [["e", None]]})
    relay.say("whole", at_s=now_s - 60)
    inlet = SocialInlet()
    with running(Nostr([relay.url]), inlet, place(relay, 60)):
        wait_for("the note", lambda: inlet.posts, seen=lambda: str(inlet.disconnects))
        wait_for("the place", lambda: relay.url in inlet.positions)
    assert ["whole"] == inlet.texts
    assert 1 == len(inlet.losses)
    assert "could not be read" in inlet.losses[0]


def test_a_place_in_the_future_is_told_and_hides_no_note(relay: RelayDouble) -> None:
    inlet = SocialInlet()
    with running(Nostr([relay.url]), inlet, place(relay, -86_400)):
        listening(relay)
        relay.say("now")
        wait_for("the note", lambda: inlet.posts)
        wait_for("a place", lambda: relay.url in inlet.positions)
    assert int(inlet.positions[relay.url]) <= time.time()
    assert ["lies in the future" in loss for loss in inlet.losses] == [True]


def test_stored_notes_without_end_are_not_kept(relay: RelayDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.ingest.social.networks.nostr.subscriptions.PAGE_MAX", 20)
    for at in range(30):
        relay.say(f"note {at}", at_s=int(time.time()) - 60)
    inlet = SocialInlet()
    with running(Nostr([relay.url]), inlet, place(relay, 60)):
        wait_for("it is given up", lambda: inlet.disconnects)
    assert "does not end" in inlet.disconnects[0][1]


def test_hashtags_are_small_letters_and_what_is_none_is_told(relay: RelayDouble) -> None:
    inlet = SocialInlet("Straße", "ΕΛΛΗΝΕΣ", "👍")
    with running(Nostr([relay.url], by_tags=True), inlet):
        listening(relay)
        relay.say("here", tags=("straße",))
        relay.say("there", tags=("ελληνες",))
        wait_for("both", lambda: len(inlet.posts) == 2, seen=lambda: str(relay.requests))
        wait_for("it is told", lambda: inlet.losses)
    assert ["1 option can be no hashtag, as 👍; without --feed hashtags all notes are read"] == inlet.losses


def test_nothing_is_lost_through_150_breaks() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    inlet = SocialInlet()
    now_s = int(time.time())
    with RelayDouble(RelayTerms(page=7)) as relay:
        for at in range(60):
            relay.say(f"before {at}", at_s=now_s - 600 + at * 7)
        relay.fail_often(150, seed, within=20)
        with running(Nostr([relay.url]), inlet, {relay.url: str(now_s - 700)}):
            for at in range(300):
                relay.say(f"post {at}", at_s=now_s - 50 + at // 5)
            wait_for("all breaks", lambda: relay.faults == 150)
            relay.say("the last")
            wait_for("the last", lambda: "the last" in inlet.texts, deadline_s=30)
            wait_for("the gap is closed", lambda: len(set(inlet.texts)) == len(relay.stored), deadline_s=30)
        assert [] == relay.violations
    assert [] == inlet.losses
