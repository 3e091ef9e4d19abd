"""Mastodon's feeds, read from a double that forgets what nobody listens to, as the real one does."""

from __future__ import annotations

import time

import pytest

from tests.doubles.social.mastodon import MastodonDouble
from tests.support.social_inlet import RunningNetwork, SocialInlet, running
from tests.support.waiting import wait_for
from tests.unit.ingest.social.mastodon_network import (
    network,
    wait_for_connects,
    wait_for_posts,
    wait_for_posts_of_one,
)

# ---- what comes ----------------------------------------------------------------------------------------------------


def test_each_option_has_its_hashtag_feed() -> None:
    inlet = SocialInlet("Happy", "New York", "#sad")
    with MastodonDouble() as double, running(network(double), inlet):
        wait_for_connects(inlet, 3)
        wanted = double.post("I am", tags=("Happy",)), double.post("in", tags=("NewYork",), acct="bo@there.example")
        double.post("not asked for", tags=("other",))
        wait_for_posts(inlet, *wanted)
    assert (["#happy", "#newyork", "#sad"], []) == (sorted(inlet.connects), double.violations)
    first, second = sorted(inlet.posts, key=lambda post: post.author)
    assert ("I am #Happy", ("happy",), False) == (first.text, first.tags, first.is_repost)
    assert ("https://here.example/@ann", "https://there.example/@bo") == (first.author, second.author)
    assert 5_000 > abs(first.created_ms - time.time() * 1000)


def test_hashtags_are_small_letters_as_the_instance_has_them() -> None:
    inlet = SocialInlet("Straße", "Ελλάδας")
    with MastodonDouble() as double, running(network(double), inlet):
        wait_for_connects(inlet, 2)
        wait_for_posts(inlet, double.post("#Straße", tags=("Straße",)), double.post("#Ελλάδας", tags=("Ελλάδας",)))
    assert {"#straße", "#ελλάδας"} == set(inlet.positions)


@pytest.mark.parametrize(("feed", "got"), [("public", {"a", "b"}), ("local", {"a"}), ("remote", {"b"})])
def test_the_live_feeds_have_all_posts(feed: str, got: set[str]) -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double, running(network(double, feed=feed), inlet):
        wait_for_connects(inlet, 1)
        both = double.post("a"), double.post("b", acct="bo@there.example")
        wait_for_posts(inlet, *[status for status in both if status["content"][3:4] in got])
    assert (got, [feed]) == (set(inlet.texts), inlet.connects)


def test_edits_and_deletions_change_nothing() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double, running(network(double), inlet):
        wait_for_connects(inlet, 1)
        first = double.post("first", tags=("happy",))
        double.edit(first, "happy sad")
        double.delete(double.post("second", tags=("happy",)))
        wait_for_posts(inlet, double.post("third", tags=("happy",)))
    assert ["first #happy", "second #happy", "third #happy"] == inlet.texts


def test_what_is_not_for_everybody_or_no_post_is_left_out() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double, running(network(double, feed="public"), inlet):
        wait_for_connects(inlet, 1)
        double.post("for friends", visibility="private")
        double.post("", content=5, tags=(), spoiler_text=None, account=dict.fromkeys(("acct",), "x"))
        original = double.post("happy")
        repost = double.post("", reblog=original, acct="bo")
        wait_for_posts(inlet, original, repost)
    assert ["", "happy", "happy"] == inlet.texts
    assert [False, False, True] == [post.is_repost for post in inlet.posts]


def test_a_content_warning_is_part_of_the_text() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double, running(network(double), inlet):
        wait_for_connects(inlet, 1)
        wait_for_posts(inlet, double.post("more", tags=("happy",), spoiler_text="About cats &amp; dogs"))
    assert ["About cats & dogs\nmore #happy"] == inlet.texts


# ---- gaps ----------------------------------------------------------------------------------------------------------


def test_what_was_posted_while_nobody_listened_is_read_page_by_page() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        with running(network(double), inlet):
            wait_for_connects(inlet, 1)
            wait_for_posts(inlet, double.post("before", tags=("happy",)))
        missed = [double.post(f"missed {number}", tags=("happy",)) for number in range(130)]
        again = SocialInlet("happy")
        with running(network(double), again, inlet.positions):
            wait_for_posts(again, *missed)
            wait_for_posts(again, double.post("after", tags=("happy",)))
            wait_for("the position moves on", lambda: again.positions["#happy"] == double.statuses[-1]["id"])
    pages = [path for path in double.asked if "/timelines/tag/happy" in path]
    assert ([], True) == (again.losses, len(pages) >= 4)
    assert again.positions["#happy"] == max(status["id"] for status in double.statuses)


def test_the_first_start_remembers_its_moment_before_any_post() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        double.post("long ago", tags=("happy",), ms=1_700_000_000_000)
        with running(network(double), inlet):
            wait_for("there is a position", lambda: inlet.positions)
        missed = double.post("missed", tags=("happy",))
        again = SocialInlet("happy")
        with running(network(double), again, inlet.positions):
            wait_for_posts(again, missed)
    assert ["missed #happy"] == again.texts


def test_a_live_post_does_not_move_the_position_over_a_gap() -> None:
    """A kill in the middle of the filling would lose what was not read yet."""
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        with running(network(double), inlet):
            wait_for_posts_of_one(double, inlet)
        missed = [double.post(f"missed {number}", tags=("happy",)) for number in range(50)]
        double.refusals = [(503, {})] * 3
        again = SocialInlet("happy")
        with running(network(double), again, inlet.positions):
            wait_for_connects(again, 1)
            live = double.post("live", tags=("happy",))
            wait_for_posts(again, live, *missed)
    moved_over = [at for at, positions in again.moves if positions.get("#happy", "") >= live["id"]]
    assert moved_over
    assert {status["uri"] for status in missed} <= {post.id for post in again.posts[: moved_over[0]]}


def test_the_position_moves_to_what_came_live_while_the_gap_was_filled() -> None:
    """Where nobody posts after that, it would stay behind for days."""
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        with running(network(double), inlet):
            wait_for_posts_of_one(double, inlet)
        double.post("missed", tags=("happy",))
        again = SocialInlet("happy")
        double.before_empty = lambda: wait_for_posts(again, double.post("live", tags=("happy",)))
        with running(network(double), again, inlet.positions):
            wait_for("it comes live", lambda: "live #happy" in again.texts)
            wait_for("the position moves on", lambda: again.positions.get("#happy") == double.statuses[-1]["id"])
    assert ["one #happy", "missed #happy", "live #happy"] == again.texts


def test_the_timeline_is_asked_after_the_stream_has_surely_joined() -> None:
    """Mastodon answers a stream, and subscribes to its feed a moment later."""
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        with running(network(double), inlet):
            wait_for_posts_of_one(double, inlet)
        missed = double.post("missed", tags=("happy",))
        again = SocialInlet("happy")
        double.clock = again.clock
        double.times.clear()
        with running(network(double), again, inlet.positions):
            wait_for_posts(again, missed)
    at_s = dict(double.times)
    assert 1.9 < at_s["/api/v1/timelines/tag/happy"] - at_s["/api/v1/streaming/hashtag"]


def test_a_post_that_arrives_late_is_found_if_nobody_listened_then() -> None:
    """Its id is that of the time when it was written, on another server."""
    now_ms = int(time.time() * 1000)
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        with running(network(double), inlet):
            wait_for_posts_of_one(double, inlet)
        late = double.post("late", tags=("happy",), ms=now_ms - 300_000, acct="bo@there.example")
        again = SocialInlet("happy")
        with running(network(double), again, inlet.positions):
            wait_for_posts(again, late)


def test_an_edited_post_in_a_gap_votes_by_its_first_text() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        with running(network(double), inlet):
            wait_for_posts_of_one(double, inlet)
        edited = double.post("first", tags=("happy",))
        double.edit(edited, "not happy at all")
        unknown = double.post("first", tags=("happy",))
        double.edit(unknown, "nor this one")
        double.forget_history(unknown)
        again = SocialInlet("happy")
        with running(network(double), again, inlet.positions):
            wait_for_posts(again, edited)
            wait_for("it is told", lambda: again.losses)
    assert "first #happy" in again.texts
    assert not {"not happy at all", "nor this one"} & set(again.texts)
    assert [True] == ["first text of an edited post" in loss for loss in again.losses]


def test_a_timeline_that_is_not_shown_is_a_loss() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        with running(network(double), inlet):
            wait_for_posts_of_one(double, inlet)
        double.post("missed", tags=("happy",))
        double.refused["/api/v1/timelines/tag/happy"] = 422
        again = SocialInlet("happy")
        with running(network(double), again, inlet.positions):
            wait_for("it is told", lambda: again.losses)
            live = double.post("goes on", tags=("happy",))
            wait_for_posts(again, live)
            wait_for("the position moves on", lambda: again.positions["#happy"] == live["id"])
    assert 1 == len(again.losses)
    assert "does not show its timeline (it answers 422)" in again.losses[0]


def test_a_hashtag_that_nobody_has_used_is_no_loss() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        with running(network(double), inlet):
            wait_for_posts_of_one(double, inlet)
        double.refused["/api/v1/timelines/tag/happy"] = 404
        again = SocialInlet("happy")
        with running(network(double), again, inlet.positions):
            wait_for("it is asked", lambda: any("timelines" in path for path in double.asked))
            wait_for_posts(again, double.post("live", tags=("happy",)))
    assert [] == again.losses


# ---- options that change -------------------------------------------------------------------------------------------


def test_new_options_open_feeds_and_old_ones_are_closed() -> None:
    inlet = SocialInlet("happy", "sad")
    with MastodonDouble() as double, running(network(double), inlet):
        wait_for_connects(inlet, 2)
        inlet.change("happy", "angry")
        wait_for_connects(inlet, 3)
        wait_for("the position is forgotten", lambda: inlet.positions.get("#sad") == "")
        double.post("nobody asks", tags=("sad",))
        wait_for_posts(inlet, double.post("new", tags=("angry",)), double.post("old", tags=("happy",)))
        inlet.change("happy", "sad")
        wait_for_connects(inlet, 4)
        wait_for_posts(inlet, double.post("again", tags=("sad",)))
    assert ("nobody asks #sad" in inlet.texts, []) == (False, double.violations)
    assert {"#happy": 1, "#sad": 2, "#angry": 1} == dict(double.streams)
    assert {("not_asked", "#sad"), ("not_asked", "#angry")} == {(reason, part) for reason, _, part in inlet.disconnects}


def test_an_option_that_is_not_asked_for_any_more_is_forgotten_at_the_start() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double, running(network(double), inlet, {"#gone": "1", "#happy": ""}):
        wait_for("it is forgotten", lambda: inlet.positions.get("#gone") == "")


def test_too_many_options_are_refused_at_the_start_and_told_later() -> None:
    with MastodonDouble() as double:
        run = RunningNetwork(network(double, tags_max=2), SocialInlet("a", "b", "c"), {})
        wait_for("it ends", lambda: run.is_over)
        assert "3 options need a connection each, and 2 are allowed; with --feed public" in str(run.error)
        inlet = SocialInlet("a", "+1")
        with running(network(double, tags_max=2), inlet):
            wait_for("it is told", lambda: inlet.losses)
            inlet.change("a", "b", "c")
            wait_for("it is told", lambda: len(inlet.losses) == 2)
            wait_for_connects(inlet, 2)
    assert "1 option cannot be a hashtag" in inlet.losses[0]
