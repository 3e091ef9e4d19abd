"""Where a feed of Mastodon stands, between the thread that reads it live and the one that fills its gap."""

from __future__ import annotations

from quorate.ingest.social.networks.mastodon.feed import Feed, hashtag_feed
from tests.support.social_inlet import SocialInlet


def feed_of(inlet: SocialInlet, position: str = "100") -> Feed:
    return Feed(hashtag_feed("happy"), position, inlet)


def test_what_comes_live_moves_a_position_only_when_the_gap_is_filled() -> None:
    inlet = SocialInlet()
    feed = feed_of(inlet)
    connection = feed.connected()
    feed.came([], "300")
    assert {} == inlet.positions
    feed.found([], "200")
    assert {"#happy": "200"} == inlet.positions
    feed.filled(connection)
    assert {"#happy": "300"} == inlet.positions
    feed.came([], "400")
    assert {"#happy": "400"} == inlet.positions


def test_a_gap_before_another_connection_says_nothing_of_what_came_since() -> None:
    inlet = SocialInlet()
    feed = feed_of(inlet)
    older = feed.connected()
    feed.came([], "300")
    feed.disconnected()
    newer = feed.connected()
    feed.filled(older)
    feed.came([], "500")
    assert {} == inlet.positions
    feed.found([], "400")
    feed.filled(newer)
    assert {"#happy": "500"} == inlet.positions


def test_a_position_never_goes_back() -> None:
    inlet = SocialInlet()
    feed = feed_of(inlet)
    connection = feed.connected()
    feed.found([], "200")
    feed.found([], "150")
    feed.filled(connection)
    assert {"#happy": "200"} == inlet.positions


def test_a_feed_that_was_forgotten_has_no_position_any_more() -> None:
    """The thread that fills its gap may have asked for a page of it before."""
    inlet = SocialInlet()
    feed = feed_of(inlet)
    connection = feed.connected()
    feed.came([], "300")
    feed.forget()
    feed.found([], "200")
    feed.filled(connection)
    assert {"#happy": ""} == inlet.positions
