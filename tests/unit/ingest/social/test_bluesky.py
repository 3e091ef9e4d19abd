"""Bluesky, read from a server that speaks Jetstream and checks its client."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.networks.bluesky.network import Bluesky
from quorate.ingest.social.networks.bluesky.place import JetstreamPlace
from tests.doubles.social.jetstream import JetstreamDouble, JetstreamTerms
from tests.support.social_inlet import SocialInlet, running
from tests.support.waiting import wait_for


@pytest.fixture
def double() -> Iterator[JetstreamDouble]:
    with JetstreamDouble() as each:
        yield each


def listening(double: JetstreamDouble, live: int = 1) -> None:
    wait_for("the stream is open", lambda: double.live >= live)


def test_posts_come_with_their_author_and_tags(double: JetstreamDouble) -> None:
    inlet = SocialInlet()
    with running(Bluesky([double.url]), inlet):
        listening(double)
        double.say("so happy", tags=("joy",), did="did:plc:ben")
        wait_for("the post", lambda: len(inlet.posts) == 1)
    post = inlet.posts[0]
    assert ("did:plc:ben/key1000", "so happy", "did:plc:ben", ("joy",)) == (post.id, post.text, post.author, post.tags)
    assert abs(post.created_ms - time.time() * 1000) < 60_000
    assert [True] == double.is_packed
    assert [] == double.violations


def test_no_message_is_lost_between_two_pieces_of_many(
    double: JetstreamDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorate.ingest.social.networks.bluesky.network.MESSAGES_AT_ONCE", 3)
    inlet = SocialInlet(room=1)
    with running(Bluesky([double.url]), inlet):
        listening(double)
        double.say("first")
        wait_for("the inlet is full", lambda: inlet.posts)
        double.say(*map(str, range(40)))
        inlet.take_more(100)
        wait_for("the last one", lambda: "39" in inlet.texts)
    assert ["first", *map(str, range(40))] == inlet.texts


def test_edits_and_deletions_and_records_without_text_are_no_posts(double: JetstreamDouble) -> None:
    inlet = SocialInlet()
    with running(Bluesky([double.url]), inlet):
        listening(double)
        double.say("changed", operation="update")
        double.send(None, operation="delete")
        double.send({"text": 5})
        double.send({"text": "with rubbish", "facets": "none", "tags": {"a": 1}})
        wait_for("the post", lambda: inlet.posts)
    assert ["with rubbish"] == inlet.texts
    assert [] == inlet.losses


def test_it_goes_on_where_it_stood(double: JetstreamDouble) -> None:
    first, second = SocialInlet(), SocialInlet()
    with running(Bluesky([double.url]), first):
        listening(double)
        double.say("one", "two")
        wait_for("both", lambda: len(first.posts) == 2)
    double.say("three")
    with running(Bluesky([double.url]), second, first.positions):
        wait_for("the third", lambda: "three" in second.texts)
    assert ["two", "three"] == second.texts  # a cursor is inclusive


def test_a_stream_that_saw_no_post_yet_has_a_place(double: JetstreamDouble) -> None:
    first, second = SocialInlet(), SocialInlet()
    with running(Bluesky([double.url]), first):
        wait_for("the place", lambda: first.positions)
    double.say("meanwhile")
    with running(Bluesky([double.url]), second, first.positions):
        wait_for("it comes", lambda: second.posts)
    assert ["meanwhile"] == second.texts


@pytest.mark.parametrize("fault", ["hang_up", "half", "reset", "close", "too_slow"])
def test_what_is_said_after_a_break_comes(double: JetstreamDouble, fault: str) -> None:
    inlet = SocialInlet()
    with running(Bluesky([double.url]), inlet):
        listening(double)
        double.say("one")
        wait_for("the first", lambda: inlet.posts)
        double.fail(fault)  # type: ignore[arg-type]
        double.say("two")
        wait_for("the second", lambda: "two" in inlet.texts)
    assert {"one", "two"} == set(inlet.texts)
    assert [] == inlet.losses
    assert ["too_slow" if fault == "too_slow" else "hung_up"] == inlet.reasons[:1]


def test_a_server_that_falls_silent_is_left(double: JetstreamDouble) -> None:
    inlet = SocialInlet()
    with running(Bluesky([double.url], silence_s=0.3), inlet):
        listening(double)
        double.fail("stall")
        wait_for("it is noticed", lambda: "stalled" in inlet.reasons)


def test_a_place_that_is_too_old_is_told_and_the_oldest_post_is_next(double: JetstreamDouble) -> None:
    double.say("gone", "old", "new")
    double.forget_before(1)
    inlet = SocialInlet()
    place = JetstreamPlace(double.url, 1_000, 1)
    with running(Bluesky([double.url]), inlet, {"": place.written()}):
        wait_for("the rest", lambda: len(inlet.posts) == 2)
    assert ["old", "new"] == inlet.texts
    assert 1 == len(inlet.losses)
    assert "36 hours" in inlet.losses[0]


def test_numbers_that_began_anew_are_noticed(double: JetstreamDouble) -> None:
    inlet = SocialInlet()
    with running(Bluesky([double.url]), inlet):
        listening(double)
        double.say("before")
        wait_for("the first", lambda: inlet.posts)
        double.begin_anew()
        double.say("missed by a cursor from the future")
        wait_for("it connects anew", lambda: len(double.cursors) == 2)
        double.say("after")
        wait_for("all", lambda: "after" in inlet.texts)
    assert {"before", "missed by a cursor from the future", "after"} == set(inlet.texts)


def test_a_new_dictionary_is_fetched(double: JetstreamDouble) -> None:
    inlet = SocialInlet()
    with running(Bluesky([double.url]), inlet):
        listening(double)
        double.new_dictionary()
        double.fail("hang_up")
        wait_for("it came again", lambda: len(double.is_packed) == 2)
        double.say("packed anew")
        wait_for("the post", lambda: inlet.posts)
    assert "dictionary" in inlet.reasons
    assert [True, True] == double.is_packed


def test_without_a_dictionary_messages_come_as_they_are() -> None:
    inlet = SocialInlet()
    with JetstreamDouble(JetstreamTerms(compresses=False)) as double, running(Bluesky([double.url]), inlet):
        listening(double)
        double.say("plain")
        wait_for("the post", lambda: inlet.posts)
        assert [False] == double.is_packed


def test_a_server_of_version_1_is_read_too() -> None:
    inlet, later = SocialInlet(), SocialInlet()
    with JetstreamDouble(JetstreamTerms(versions=(1,))) as double:
        with running(Bluesky([double.url]), inlet):
            listening(double)
            double.say("old times", tags=("v1",))
            wait_for("the post", lambda: inlet.posts)
        double.say("later")
        with running(Bluesky([f"{double.url}/subscribe"]), later, inlet.positions):
            wait_for("the next", lambda: "later" in later.texts)
    assert ("v1",) == inlet.posts[0].tags


def test_a_server_of_version_1_that_answers_at_each_path_is_read_too() -> None:
    inlet = SocialInlet()
    with JetstreamDouble(JetstreamTerms(versions=(1,), any_path=True)) as double:
        with running(Bluesky([double.url]), inlet, {"": JetstreamPlace(time_us=int(time.time() * 1e6)).written()}):
            listening(double)
            double.say("one")
            wait_for("the post", lambda: "one" in inlet.texts, seen=lambda: str(inlet.disconnects))
            double.say("two")
            wait_for("the next one", lambda: "two" in inlet.texts)
        assert "/subscribe" == double.asked_for[-1]
    assert [] == inlet.losses


def test_another_instance_may_be_of_version_1(double: JetstreamDouble) -> None:
    inlet = SocialInlet()
    with JetstreamDouble(JetstreamTerms(versions=(1,))) as other, running(Bluesky([double.url, other.url]), inlet):
        listening(double)
        double.answer_next(503)
        double.answer_next(503)
        double.answer_next(503)
        double.fail("hang_up")
        listening(other)
        other.say("there")
        wait_for("the post", lambda: inlet.posts, seen=lambda: str(inlet.disconnects))


def test_a_dictionary_is_asked_for_again_when_the_server_did_not_serve_yet() -> None:
    """As a Jetstream that reads its archive first."""
    with JetstreamDouble(JetstreamTerms(compresses=False)) as double:
        double.answer_next(404)  # the first question for the dictionary
        double.answer_next(503)
        with running(Bluesky([double.url]), SocialInlet()):
            listening(double)
        assert 2 == sum(path.endswith("getZstdDictionary") for path in double.asked_for)
    assert [503, 101] == [status for status in double.statuses if status != 404]


def test_a_dictionary_that_is_not_there_is_asked_for_once() -> None:
    inlet = SocialInlet()
    with JetstreamDouble(JetstreamTerms(compresses=False)) as double, running(Bluesky([double.url]), inlet):
        for _ in range(3):
            listening(double)
            before = len(double.cursors)
            double.say("anything")
            wait_for("the post", lambda: len({post.id for post in inlet.posts}) == double.count())
            double.fail("hang_up")
            wait_for("another connection", lambda before=before: len(double.cursors) > before)  # type: ignore[misc]
        assert 1 == sum(path.endswith("getZstdDictionary") for path in double.asked_for)


def test_version_1_does_not_tell_of_an_old_place_so_we_do() -> None:
    inlet = SocialInlet()
    days_ago = JetstreamPlace("", 0, int((time.time() - 3 * 86_400) * 1e6))
    with (
        JetstreamDouble(JetstreamTerms(versions=(1,))) as double,
        running(Bluesky([double.url]), inlet, {"": days_ago.written()}),
    ):
        wait_for("it is told", lambda: inlet.losses)
    assert "72 hours old" in inlet.losses[0]


def test_another_instance_is_asked_for_the_time(double: JetstreamDouble) -> None:
    inlet = SocialInlet()
    with JetstreamDouble(first_seq=777_000) as other:
        with running(Bluesky([double.url, other.url]), inlet):
            listening(double)
            double.say("here")
            other.say("here", "there")
            wait_for("the first", lambda: inlet.posts)
            for _ in range(6):
                double.answer_next(503)
            double.fail("hang_up")
            wait_for("the other's", lambda: "there" in inlet.texts)
        assert other.cursors[0] is not None
        assert other.cursors[0] >= 10**15


def test_what_no_waiting_mends_is_said(double: JetstreamDouble) -> None:
    double.answer_next(400, {"error": "InvalidRequest"})
    with pytest.raises(ConfigError, match="InvalidRequest"), running(Bluesky([double.url]), SocialInlet()) as run:
        wait_for("it ends", lambda: run.is_over)


def test_a_limit_is_waited_for_as_long_as_it_says(double: JetstreamDouble) -> None:
    inlet = SocialInlet()
    double.answer_next(429)
    with running(Bluesky([double.url]), inlet):
        listening(double)
    assert ["rate_limited"] == inlet.reasons[:1]
    assert inlet.pauses[0] >= 60


@pytest.mark.parametrize("versions", [(2, 1), (1,)])
def test_nothing_is_lost_through_500_breaks(versions: tuple[int, ...]) -> None:
    seed = random.randrange(2**32)
    inlet = SocialInlet()
    print(f"seed {seed}")
    with JetstreamDouble(JetstreamTerms(versions=versions)) as double:
        place = JetstreamPlace(time_us=int(time.time() * 1e6)).written()
        double.fail_often(500, seed, within=20)
        with running(Bluesky([double.url]), inlet, {"": place}):
            for at in range(5_000):
                double.say(f"post {at}")
            wait_for("all breaks", lambda: double.faults == 500, deadline_s=60)
            double.say("the last")
            wait_for("the last", lambda: "the last" in inlet.texts, deadline_s=30)
        assert {f"{said.did}/{said.rkey}" for said in double.said} == {post.id for post in inlet.posts}
        assert [] == double.violations
    assert [] == inlet.losses
