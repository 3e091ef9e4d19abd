"""A position in the future, as a wrong clock leaves it: told, and nothing is missed until that moment comes."""

from __future__ import annotations

import time

from quorate.ingest.social.networks.bluesky.network import Bluesky
from quorate.ingest.social.networks.bluesky.place import JetstreamPlace
from quorate.ingest.social.networks.mastodon.status_ids import id_at as status_id_at
from quorate.ingest.social.networks.mastodon.status_ids import newest
from quorate.ingest.social.networks.wikimedia.place import TOPICS_MAX, PlaceKeeper, StreamPlace
from quorate.ingest.social.networks.x.snowflake import id_at
from quorate.web.sse import ID_BYTES_MAX, ServerEvent, SseReader
from tests.doubles.social.jetstream import JetstreamDouble, JetstreamTerms
from tests.doubles.social.mastodon import MastodonDouble
from tests.support.social_inlet import SocialInlet, running
from tests.support.waiting import wait_for
from tests.unit.ingest.social import mastodon_network, x_reading

DAY_S = 86_400
TOLD = "the place where the reading ended lies in the future; was a clock wrong?"


def test_jetstream_is_asked_for_now() -> None:
    inlet = SocialInlet()
    place = JetstreamPlace(time_us=int((time.time() + DAY_S) * 1e6))
    with JetstreamDouble(JetstreamTerms(versions=(1,))) as double:
        double.say("just before")
        with running(Bluesky([double.url]), inlet, {"": place.written()}):
            wait_for("the post", lambda: inlet.posts)
    assert ["just before"] == inlet.texts
    assert [TOLD] == inlet.losses


def test_a_number_needs_no_clock() -> None:
    inlet = SocialInlet()
    with JetstreamDouble() as double:
        double.say("one", "two")
        place = JetstreamPlace(double.url, 1_000, int((time.time() + DAY_S) * 1e6))
        with running(Bluesky([double.url]), inlet, {"": place.written()}):
            wait_for("both", lambda: len(inlet.posts) == 2)
    assert [] == inlet.losses


def test_x_goes_on_from_now() -> None:
    inlet = SocialInlet("happy")
    with x_reading.double(inlet) as x:
        ahead = {"": str(id_at((time.time() + DAY_S) * 1_000))}
        with running(x_reading.network(x, inlet), inlet, ahead):
            x_reading.connected(x)
            x_reading.arrive(inlet, x.say("happy 0"))
            x_reading.gone(x)
            missed = x.say("happy 1")
            x_reading.connected(x, 2)
            x_reading.arrive(inlet, missed)
        assert int(inlet.positions[""]) < int(ahead[""])
    assert [TOLD] == inlet.losses


def test_a_post_of_x_from_the_future_moves_no_position_there() -> None:
    inlet = SocialInlet("happy")
    with x_reading.reading(inlet) as x:
        x.send(b'{"data": {"id": "9000000000000000000", "text": "happy"}}\r\n')
        x_reading.arrive(inlet, "9000000000000000000")
        wait_for("the position", lambda: inlet.positions)
        assert int(inlet.positions[""]) < id_at((time.time() + DAY_S) * 1_000)


def test_mastodon_goes_on_from_now() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as double:
        ahead = status_id_at(int((time.time() + DAY_S) * 1000))
        with running(mastodon_network.network(double), inlet, {"#happy": ahead}):
            mastodon_network.wait_for_connects(inlet, 1)
            mastodon_network.wait_for_posts(inlet, double.post("seen", tags=("happy",)))
            wait_for("the position", lambda: inlet.positions.get("#happy", ahead) < ahead)
    assert [TOLD] == inlet.losses


def test_a_status_from_the_future_moves_no_position_there() -> None:
    now_ms = time.time() * 1000
    ahead, now = status_id_at(int(now_ms) + DAY_S * 1000), status_id_at(int(now_ms))
    assert now == newest([now, ahead, "1"], now_ms)
    assert "" == newest([ahead], now_ms)
    assert "01ARZ3NDEKTSV4RRFFQ69G5FAV" == newest(["01ARZ3NDEKTSV4RRFFQ69G5FAV"], now_ms)  # of GoToSocial


# ---- and of no size ------------------------------------------------------------------------------------------------


def test_an_id_that_no_request_can_hold_is_none() -> None:
    reader = SseReader()
    sent = b"id: 7\ndata: a\n\nid: %s\ndata: b\n\n" % (b"9" * (ID_BYTES_MAX + 1))
    assert [ServerEvent("message", b"a", "7"), ServerEvent("message", b"b", "7")] == reader.feed(sent)


def test_topics_that_never_come_again_are_forgotten() -> None:
    keeper = PlaceKeeper(StreamPlace())
    for at in range(3 * TOPICS_MAX):
        keeper.follow(f'[{{"topic":"t{at}","partition":0,"offset":{at}}}]', str(at), 1)
    assert TOPICS_MAX == len(keeper.place.topics)
    assert f"t{3 * TOPICS_MAX - 1}" == keeper.place.topics[-1].topic
