"""Twitter v1.1 against a server that speaks it, and checks what its client does."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.network import HasFigures
from quorate.ingest.social.networks.twitter.keys import TwitterKeys
from quorate.ingest.social.networks.twitter.network import Twitter
from quorate.ingest.social.networks.twitter.track import TrackLimits
from tests.doubles.social.oauth1 import OAuthAccount
from tests.doubles.social.twitter import TwitterDouble, TwitterTerms
from tests.support.raw_server import raw_server, wait_for_end
from tests.support.social_inlet import RunningNetwork, SocialInlet, running
from tests.support.waiting import wait_for

KEYS = TwitterKeys(*(getattr(OAuthAccount(), name) for name in OAuthAccount.__slots__))


@contextlib.contextmanager
def reading(
    inlet: SocialInlet, terms: TwitterTerms | None = None, *, silence_s: float = 30.0, drain_s: float = 10.0
) -> Iterator[TwitterDouble]:
    """A stream that is connected. In the end its server has nothing to blame it for."""
    with TwitterDouble(terms, clock=inlet.clock) as twitter:
        network = Twitter(KEYS, twitter.url, silence_s=silence_s, drain_s=drain_s)
        with running(network, inlet):
            if inlet.terms.texts:
                connected(twitter)
            yield twitter
        assert [] == twitter.violations


def connected(twitter: TwitterDouble, connections: int = 1) -> None:
    """As many as ever."""
    wait_for(
        f"connection {connections}",
        lambda: len(twitter.connections) >= connections and twitter.live,
        seen=lambda: str(twitter.seen()),
    )


def arrive(inlet: SocialInlet, *ids: str) -> None:
    wait_for("the posts arrive", lambda: set(ids) <= {post.id for post in inlet.posts}, seen=lambda: str(inlet.posts))


def test_posts_that_mention_an_option_come() -> None:
    inlet = SocialInlet("happy", "very sad")
    with reading(inlet) as twitter:
        ids = [twitter.say("I am HAPPY"), twitter.say("sad, very sad", author="9"), twitter.say("happy and very sad")]
        ids.append(twitter.say("#VerySad"))
        twitter.say("neither")
        arrive(inlet, *ids)
        assert [["happy", "very sad", "verysad"]] == [each.track for each in twitter.connections]
    assert ids == [post.id for post in inlet.posts]
    assert ["7", "9", "7", "7"] == [post.author for post in inlet.posts]
    assert [] == inlet.losses


def test_signs_at_an_option_hide_no_post() -> None:
    inlet = SocialInlet("#Mood", "Ben & Joe's", "sad!!")
    with reading(inlet) as twitter:
        ids = [twitter.say("in no mood"), twitter.say("Ben and Joe's"), twitter.say("so sad.")]
        arrive(inlet, *ids)


@pytest.mark.parametrize(
    "terms", [TwitterTerms(gzip=True), TwitterTerms(chunk_bytes=7), TwitterTerms(keep_alive_s=0.01)]
)
def test_however_it_is_sent(terms: TwitterTerms) -> None:
    inlet = SocialInlet("sad", "日本")
    with reading(inlet, terms) as twitter:
        arrive(inlet, *[twitter.say(f"so sad: 日本 … 🎉 {number}") for number in range(20)])
    assert [f"so sad: 日本 … 🎉 {number}" for number in range(20)] == inlet.texts


@pytest.mark.parametrize("field", OAuthAccount.__slots__)
def test_wrong_credentials_end_it_in_words(field: str) -> None:
    inlet = SocialInlet("happy")
    wrong = TwitterKeys(*(getattr(replace(OAuthAccount(), **{field: "wrong-one"}), n) for n in OAuthAccount.__slots__))
    with (
        TwitterDouble() as twitter,
        pytest.raises(ConfigError, match=r"does not accept the credentials.*SP_TWITTER_KEY"),
    ):
        Twitter(wrong, twitter.url).run(inlet, {})
    assert [401] == twitter.statuses
    assert "wrong-one" not in str(inlet.disconnects)


@pytest.mark.parametrize(("status", "words"), [(403, "may not use"), (404, "no statuses/filter"), (413, "track list")])
def test_what_only_a_person_can_mend_ends_it_at_the_start(status: int, words: str) -> None:
    with TwitterDouble() as twitter:
        twitter.answer_next(status)
        with pytest.raises(ConfigError, match=words):
            Twitter(KEYS, twitter.url).run(SocialInlet("happy"), {})


def test_what_was_accepted_before_is_tried_some_times_more() -> None:
    inlet = SocialInlet("happy")
    with TwitterDouble(clock=inlet.clock) as twitter:
        run = RunningNetwork(Twitter(KEYS, twitter.url), inlet, {})
        connected(twitter)
        arrive(inlet, twitter.say("happy"))
        for _ in range(10):
            twitter.answer_next(401)
        twitter.fail("hang_up")
        wait_for("it gives up", lambda: run.is_over)
        assert "credentials" in str(run.error)
        assert [200, 401, 401, 401, 401, 401, 401] == twitter.statuses
        assert [] == twitter.violations


@pytest.mark.parametrize(
    ("answers", "least"),
    [
        ([503, 503, 500], [5, 10, 20]),
        ([420, 429, 420], [60, 120, 240]),
        ([503, 420, 503], [5, 60, 10]),
        ([0, 0, 0], [0.25, 0.5, 0.75]),
        ([0, 503, 0], [0.25, 5, 0.5]),
    ],
)
def test_it_pauses_as_the_documents_say(answers: list[int], least: list[float]) -> None:
    inlet = SocialInlet("happy")
    with TwitterDouble(clock=inlet.clock) as twitter:
        for status in answers:
            twitter.answer_next(status)
        with running(Twitter(KEYS, twitter.url), inlet):
            connected(twitter)
        assert [] == twitter.violations
    assert [*answers, 200] == twitter.statuses
    assert all(low <= pause <= 1.1 * low for low, pause in zip(least, inlet.pauses, strict=True))


def test_it_waits_as_long_as_the_answer_asks_for() -> None:
    inlet = SocialInlet("happy")
    with TwitterDouble(clock=inlet.clock) as twitter:
        twitter.answer_next(420, {"Retry-After": "777"})
        with running(Twitter(KEYS, twitter.url), inlet):
            connected(twitter)
        assert [] == twitter.violations
    assert [777] == inlet.pauses


@pytest.mark.parametrize("fault", ["end", "hang_up", "half_line", "reset"])
def test_a_connection_that_breaks_is_made_again_and_the_gap_is_told(fault: str) -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as twitter:
        first = twitter.say("happy 1")
        arrive(inlet, first)
        twitter.fail(fault, '{"id": 5, "text": "half happy"}' if fault == "half_line" else "")  # type: ignore[arg-type]
        connected(twitter, 2)
        second = twitter.say("happy 2")
        arrive(inlet, second)
    assert [first, second] == [post.id for post in inlet.posts]
    assert ["hung_up"] == inlet.reasons
    (loss,) = inlet.losses
    assert "nobody listened for" in loss


def test_a_stalled_connection_is_given_up() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet, TwitterTerms(keep_alive_s=0.1), silence_s=0.5) as twitter:
        twitter.fail("stall")
        connected(twitter, 2)
        arrive(inlet, twitter.say("happy"))
    assert {"stalled"} == set(inlet.reasons)


def test_new_options_cost_no_post() -> None:
    """The new connection is opened first; Twitter ends the old one after it has sent what it had."""
    inlet = SocialInlet("happy")
    with reading(inlet) as twitter:
        ids = [twitter.say(f"happy {number}") for number in range(50)]
        inlet.change("happy", "sad")
        connected(twitter, 2)
        ids += [twitter.say("sad"), twitter.say("happy")]
        arrive(inlet, *ids)
        assert [["happy"], ["happy", "sad"]] == [each.track for each in twitter.connections]
    assert ids == [post.id for post in inlet.posts]
    assert ([], []) == (inlet.losses, inlet.disconnects)


def test_the_same_options_in_other_words_need_no_connection() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as twitter:
        inlet.change("happy", "HAPPY")
        inlet.change("happy", "HAPPY", "sad")
        connected(twitter, 2)
        arrive(inlet, twitter.say("sad"))
    assert [["happy"], ["happy", "sad"]] == [each.track for each in twitter.connections]


def test_where_one_connection_is_allowed_the_old_one_is_closed_first_and_that_is_told() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet, TwitterTerms(second="refuse")) as twitter:
        for turn, mood in enumerate(("sad", "glad", "mad")):
            inlet.change(mood)
            connected(twitter, turn + 2)
            arrive(inlet, twitter.say(mood))
    assert [200, 420, 200, 420, 200, 200] == twitter.statuses  # in the end nothing is asked in vain
    assert 60 <= inlet.pauses[0]
    assert ["closed"] * 3 == inlet.reasons
    assert "one connection at a time" in inlet.disconnects[0][1]
    assert 3 == len(inlet.losses)


def test_troubles_of_the_server_do_not_have_the_old_connection_closed() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as twitter:
        for status in (500, 503, 0):
            twitter.answer_next(status)
        inlet.change("sad")
        connected(twitter, 2)
        arrive(inlet, twitter.say("sad"))
    assert [200, 500, 503, 0, 200] == twitter.statuses
    assert ([], []) == (inlet.losses, inlet.disconnects)


def test_new_options_that_are_refused_leave_the_older_ones() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet, TwitterTerms(phrases=1)) as twitter:
        inlet.change("happy", "sad")
        wait_for("it is told", lambda: inlet.losses)
        arrive(inlet, twitter.say("happy"))
        inlet.change("sad")
        connected(twitter, 2)
        arrive(inlet, twitter.say("sad"))
    assert "413" in inlet.losses[0]
    assert [] == inlet.disconnects


def test_options_that_come_while_it_connects_are_asked_for() -> None:
    inlet = SocialInlet("happy")
    with TwitterDouble(clock=inlet.clock) as twitter:
        for _ in range(20):
            twitter.answer_next(503)
        with running(Twitter(KEYS, twitter.url), inlet):
            wait_for("it is refused", lambda: len(twitter.statuses) > 5)
            inlet.change("sad")
            wait_for("it asks for sad", lambda: twitter.live and twitter.live[0].track == ["sad"])
            arrive(inlet, twitter.say("sad"))
        tracks = [each.track for each in twitter.connections]
    assert tracks in ([["sad"]], [["happy"], ["sad"]])  # and no older options after newer ones


def test_without_options_it_waits() -> None:
    inlet = SocialInlet()
    with reading(inlet) as twitter:
        inlet.change("happy")
        connected(twitter)
        inlet.change()
        arrive(inlet, twitter.say("happy"))  # nothing better is to be asked for
        inlet.change("sad")
        connected(twitter, 2)
        arrive(inlet, twitter.say("sad"))


def test_too_many_options_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"401 options.*takes 400.*--track-max"):
        Twitter(KEYS, "http://127.0.0.1:1").run(SocialInlet(*(f"o{n}" for n in range(401))), {})
    with pytest.raises(ConfigError, match=r"1 option of 2 cannot be asked for.*xxx"):
        Twitter(KEYS, "http://127.0.0.1:1").run(SocialInlet("happy", "x" * 61), {})


def test_too_many_options_later_are_told_and_the_others_are_asked_for() -> None:
    inlet = SocialInlet("o0")
    with TwitterDouble(TwitterTerms(phrases=3)) as twitter:
        network = Twitter(KEYS, twitter.url, limits=TrackLimits(phrases=3))
        with running(network, inlet):
            connected(twitter)
            inlet.change(*(f"o{n}" for n in range(5)))
            connected(twitter, 2)
            assert ["o0", "o1", "o2"] == twitter.live[-1].track
    assert "there are 5 options" in inlet.losses[0]


def test_withheld_posts_are_told_once_a_minute() -> None:
    inlet = SocialInlet("happy")
    with TwitterDouble() as twitter:
        network = Twitter(KEYS, twitter.url)
        assert {"posts_held_back": 0} == network.figures()
        with running(network, inlet):
            connected(twitter)
            for total in (3, 10, 12):
                twitter.send({"limit": {"track": total}})
            twitter.fail("end")
            connected(twitter, 2)
            twitter.send({"limit": {"track": 1}})
            arrive(inlet, twitter.say("happy"))
    told = [loss.split(" held")[0] for loss in inlet.losses if "held back" in loss]
    assert ["3 posts", "9 posts", "1 post"] == told
    assert {"posts_held_back": 13} == network.figures()
    assert isinstance(network, HasFigures)


def test_another_client_with_the_same_credentials_is_told_and_given_time() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as twitter:
        twitter.send({"disconnect": {"code": 7, "stream_name": "t", "reason": "admin logout"}})
        connected(twitter, 2)
    assert ["other_client"] == inlet.reasons
    assert "same credentials" in inlet.disconnects[0][1]
    assert 60 <= inlet.pauses[0]


def test_deletes_and_the_like_change_nothing() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as twitter:
        id = twitter.say("happy")
        for message in ("delete", "scrub_geo", "status_withheld"):
            twitter.send({message: {"status": {"id": int(id)}}})
        twitter.send({"warning": {"code": "FALLING_BEHIND", "percent_full": 60}})
        last = twitter.say("happy again")
        arrive(inlet, last)
    assert [id, last] == [post.id for post in inlet.posts]
    assert [] == inlet.disconnects


def test_a_page_is_no_stream() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as twitter:
        twitter.send(b"<html>\r\n")
        connected(twitter, 2)
    assert ["nonsense"] == inlet.reasons
    assert 5 <= inlet.pauses[0]


def test_nonsense_between_posts_is_told_and_passed_over() -> None:
    inlet = SocialInlet("happy")
    with reading(inlet) as twitter:
        arrive(inlet, twitter.say("happy"))
        twitter.send(b'{"id": 5, "text\r\n')
        arrive(inlet, twitter.say("happy"))
    assert ["a message of the stream could not be understood"] == inlet.losses
    assert [] == inlet.disconnects


def test_a_stop_while_the_server_does_not_answer() -> None:
    inlet = SocialInlet("happy")
    with raw_server(wait_for_end) as server, running(Twitter(KEYS, f"http://127.0.0.1:{server.port}/"), inlet):
        wait_for("it asks", lambda: server.requests)


def test_a_full_inlet_stops_the_reading_and_loses_nothing() -> None:
    inlet = SocialInlet("happy", room=10)
    with reading(inlet) as twitter:
        ids = [twitter.say(f"happy {number} {'x' * 1000}") for number in range(1000)]
        wait_for("it is full", lambda: len(inlet.posts) >= 10)
        inlet.take_more(10_000)
        arrive(inlet, *ids)


@pytest.mark.parametrize("seed", [1, 2])
def test_all_that_was_sent_whole_came_through_many_disconnects(seed: int) -> None:
    """What a server sent before it hung up is not lost, and half a message is none."""
    rng = random.Random(seed)
    inlet = SocialInlet("happy", "first")
    with reading(inlet, TwitterTerms(connects=1000, chunk_bytes=rng.choice([0, 50]))) as twitter:
        for turn in range(60):
            for number in range(rng.randrange(4)):
                twitter.say(f"happy {turn} {number}")
            if rng.random() < 0.2:
                inlet.change("happy", f"o{turn}")
            else:
                half = '{"id": 5, "text": "half happy"}' if rng.random() < 0.5 else ""
                twitter.fail(rng.choice(["end", "hang_up"]), half)
            connected(twitter, turn + 2)
        arrive(inlet, twitter.say("happy at last"))
        sent = [line for each in twitter.connections for line in each.answer.sent if b"happy" in line]
    assert len(sent) == len(inlet.posts)
    assert {post.id for post in inlet.posts} == {json.loads(line)["id_str"] for line in sent}
