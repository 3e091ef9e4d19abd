"""Where to go on in EventStreams."""

from __future__ import annotations

import json
import random

import pytest

from quorate.ingest.social.networks.wikimedia.place import PlaceKeeper, StreamPlace

EQIAD, CODFW = ("eqiad.mediawiki.recentchange", 0), ("codfw.mediawiki.recentchange", 0)
NOW = 1_795_000_000_000


def entry(topic: tuple[str, int], **place: int) -> dict[str, object]:
    return {"topic": topic[0], "partition": topic[1], **place}


def id_of(*entries: dict[str, object]) -> str:
    return json.dumps(entries)


def by_time(ms: int) -> str:
    """As the public server's ids are: one topic has no event yet."""
    return id_of(entry(EQIAD, timestamp=ms + 1), entry(CODFW, offset=-1))


def asked_for(place: StreamPlace) -> list[dict[str, object]]:
    asked: list[dict[str, object]] = json.loads(StreamPlace.read(place.written()).last_event_id())
    return asked


def test_it_is_asked_for_the_last_event_itself_and_for_no_topics_end() -> None:
    keeper = PlaceKeeper(StreamPlace())
    assert "" == keeper.follow(by_time(NOW), "a", NOW)
    assert [entry(EQIAD, timestamp=NOW), entry(CODFW, timestamp=NOW)] == asked_for(keeper.place)


def test_a_topic_without_events_keeps_the_place_that_it_had_first() -> None:
    keeper = PlaceKeeper(StreamPlace())
    for at in (NOW, NOW + 500, NOW + 900):
        keeper.follow(by_time(at), str(at), at)
    assert [entry(EQIAD, timestamp=NOW + 900), entry(CODFW, timestamp=NOW)] == asked_for(keeper.place)


def test_offsets_are_asked_for_as_they_are() -> None:
    keeper = PlaceKeeper(StreamPlace())
    keeper.follow(id_of(entry(EQIAD, offset=8), entry(CODFW, offset=3)), "a", NOW)
    assert [entry(EQIAD, offset=8), entry(CODFW, offset=3)] == asked_for(keeper.place)


def test_an_id_of_another_kind_is_asked_for_as_it_is() -> None:
    keeper = PlaceKeeper(StreamPlace())
    for event_id in ("17", '{"seq":18}', "[]", '["19"]'):
        keeper.follow(event_id, "a", NOW)
        assert event_id == StreamPlace.read(keeper.place.written()).last_event_id()


def test_without_an_event_it_is_asked_for_since() -> None:
    assert ("", 5) == (StreamPlace(5).last_event_id(), StreamPlace.read(StreamPlace(5).written()).ms)


def test_without_ids_it_is_asked_for_since_the_last_event() -> None:
    keeper = PlaceKeeper(StreamPlace(NOW))
    assert ("", False) == (keeper.follow("", "a", NOW), keeper.is_further)
    assert ("", True) == (keeper.follow("", "b", NOW + 5), keeper.is_further)
    assert ("", NOW + 5) == (keeper.place.last_event_id(), keeper.place.ms)


def test_repeated_events_move_no_place_back() -> None:
    """A hang-up among them would lead ever further back."""
    keeper = PlaceKeeper(StreamPlace())
    for number, at in enumerate((NOW, NOW + 7, NOW + 7, NOW + 9, NOW + 8)):
        keeper.follow(by_time(at), str(number), at)
    place = keeper.place
    again = PlaceKeeper(place)
    for number, at in ((3, NOW + 9), (4, NOW + 8)):
        assert "" == again.follow(by_time(at), str(number), at)
        assert (place, False) == (again.place, again.is_further)
    assert "" == again.follow(by_time(NOW + 6), "late", NOW + 6)
    assert (asked_for(place), True) == (asked_for(again.place), again.is_further)
    assert "" == again.follow(by_time(NOW + 20), "new", NOW + 20)
    assert [entry(EQIAD, timestamp=NOW + 20), entry(CODFW, timestamp=NOW)] == asked_for(again.place)


def test_offsets_that_come_again_move_no_place_back() -> None:
    place = StreamPlace()
    for offset in (5, 6, 5, 4, 6, 7):
        keeper = PlaceKeeper(place)
        assert "" == keeper.follow(id_of(entry(EQIAD, offset=offset)), "a", NOW)
        assert (offset > place.topics[0].offset if place.topics else True) == keeper.is_further
        place = keeper.place
    assert [entry(EQIAD, offset=7)] == asked_for(place)


@pytest.mark.parametrize(
    ("last", "first", "missing"),
    [
        (by_time(NOW), by_time(NOW + 2_000), "2.000 s"),
        (id_of(entry(EQIAD, offset=8)), id_of(entry(EQIAD, offset=12)), "3 events"),
        (id_of(entry(EQIAD, offset=8)), id_of(entry(EQIAD, offset=9)), ""),
        (id_of(entry(EQIAD, offset=8), entry(CODFW, offset=-1)), id_of(entry(EQIAD, offset=9)), ""),
    ],
)
def test_what_the_server_has_not_any_more_is_told_once(last: str, first: str, missing: str) -> None:
    keeper = PlaceKeeper(StreamPlace())
    keeper.follow(last, "a", NOW)
    again = PlaceKeeper(StreamPlace.read(keeper.place.written()))
    told = again.follow(first, "b", NOW + 2_000)
    assert missing in told if missing else "" == told
    assert "" == again.follow(by_time(NOW + 9_000) if "timestamp" in last else first, "c", NOW + 9_000)


def test_the_other_topic_is_no_gap() -> None:
    """Both data centres are read, and each has its own last event."""
    keeper = PlaceKeeper(StreamPlace())
    keeper.follow(id_of(entry(EQIAD, timestamp=NOW), entry(CODFW, offset=-1)), "a", NOW)
    keeper.follow(id_of(entry(EQIAD, timestamp=NOW), entry(CODFW, timestamp=NOW + 5)), "b", NOW)
    again = PlaceKeeper(keeper.place)
    new = id_of(entry(EQIAD, offset=77), entry(CODFW, timestamp=NOW + 900))
    assert "" == again.follow(id_of(entry(EQIAD, offset=77), entry(CODFW, timestamp=NOW + 5)), "b", NOW)
    assert "" == again.follow(new, "c", NOW)
    assert [entry(EQIAD, timestamp=NOW - 1), entry(CODFW, timestamp=NOW + 899)] == asked_for(again.place)


def test_an_event_names_its_topic_itself_where_ids_leave_it_open() -> None:
    keeper = PlaceKeeper(StreamPlace())
    both = id_of(entry(EQIAD, offset=4), entry(CODFW, offset=9))
    keeper.follow(both, "a", NOW, CODFW)
    assert "" == keeper.follow(both, "a", NOW, ("unknown", 1))
    assert [entry(CODFW, offset=9), entry(EQIAD, offset=4)] == asked_for(keeper.place)


class Kafka:
    """One topic: times in the order of arrival. It starts where KafkaSSE does."""

    def __init__(self, random_: random.Random, events: int) -> None:
        moment = NOW
        self.times = []
        for _ in range(events):
            moment += random_.choice((0, 0, 1, 3))
            self.times.append(moment - random_.choice((0, 0, 0, 1, 5, 60)))

    def start(self, asked: str, latest: int) -> int:
        if not asked:
            return 0
        at = json.loads(asked)[0]["timestamp"]
        return next((number for number, time in enumerate(self.times[:latest]) if time >= at), latest)


@pytest.mark.parametrize("seed", range(40))
def test_no_event_is_missed_wherever_connections_end(seed: int) -> None:
    """Events of one millisecond, and such as arrive late, do not change that. What is missing is told: nothing."""
    random_ = random.Random(seed)
    kafka = Kafka(random_, 600)
    place, got, connections = StreamPlace(), set[int](), 0
    while len(got) < len(kafka.times):
        connections += 1
        assert connections < 5_000, "it comes to no end"
        keeper = PlaceKeeper(place)
        start = kafka.start(place.last_event_id(), len(kafka.times))
        for number in range(start, min(len(kafka.times), start + random_.randint(0, 80))):
            at = kafka.times[number]
            assert "" == keeper.follow(by_time(at), f"e{number}", at)
            got.add(number)
        assert set(range(len(got))) == got
        place = keeper.place
