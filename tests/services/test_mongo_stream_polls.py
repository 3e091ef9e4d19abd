"""The polls of a stream in MongoDB: by hand, as the cluster wrote them, and by which rules posts vote."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from operator import itemgetter

import pytest
from bson import ObjectId

from quorate.cli import main
from quorate.config import Mongo
from quorate.ingest.social.options.mongo_polls import MongoPolls
from quorate.ingest.social.options.polls_reader import PollsRead
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.sinks.sink import Fence, PollDocument
from tests.services.mongo_store import MongoStore

T = 20.0
MOOD = PollDocument("mood", "How are you?", ["happy", "sad"], {"happy": 3, "sad": 1}, "open", 7, 1_700_000_000_123)


@pytest.fixture
def store() -> Iterator[MongoStore]:
    store = MongoStore()
    yield store
    store.close()


def read(store: MongoStore, rules: Mapping[str, Rules] | None = None) -> PollsRead:
    return MongoPolls(Mongo(url=store.url, database=store.database), rules or {}).read()


def test_polls_are_read_that_the_cluster_wrote_and_that_people_put_there(store: MongoStore) -> None:
    over = dataclasses.replace(MOOD, id="over", state="closed")
    store.sink().write([MOOD, over], Fence(1, 1, 7), "c1", timeout_s=T)
    store.insert("tea", options=[" milk", "lemon"], results={" milk": 4.0})
    store.insert("draft", options=["a", "b"], state="draft")
    found = read(store)
    assert [StreamPoll("mood", ("happy", "sad")), StreamPoll("tea", (" milk", "lemon"))] == found.polls
    assert {} == found.left_out


def test_options_that_people_added_to_a_written_poll_are_read(store: MongoStore) -> None:
    store.sink().write([MOOD], Fence(1, 1, 7), "c1", timeout_s=T)
    store.edit("mood", options=["happy", "sad", "bored", 7])
    assert [StreamPoll("mood", ("happy", "sad", "bored"))] == read(store).polls


def test_a_deleted_poll_is_not_read(store: MongoStore) -> None:
    sink = store.sink()
    sink.write([MOOD], Fence(1, 1, 7), "c1", timeout_s=T)
    sink.mark_deleted({"mood": 1}, Fence(1, 1, 8), "c1", timeout_s=T)
    assert [] == read(store).polls


def test_a_document_that_was_claimed_and_is_not_written_yet_is_read(store: MongoStore) -> None:
    store.insert("tea", options=["milk", "lemon"], quorate={"cluster": "c1", "fence": "x", "version": 0})
    assert [StreamPoll("tea", ("milk", "lemon"))] == read(store).polls


def test_a_document_says_by_which_rules_posts_vote_unless_the_settings_do(store: MongoStore) -> None:
    store.insert("a", options=["x", "y"], stream={"match": "substring"})
    store.insert("b", options=["x", "y"], stream={"one_per": "author", "reposts": False})
    store.insert("c", options=["x", "y"], stream={"match": "substring"})
    store.sink().write([MOOD], Fence(1, 1, 7), "c1", timeout_s=T)
    store.edit("mood", stream={"reposts": False})
    given = Rules(one_per="author")
    assert [
        ("a", Rules(match="substring")),
        ("b", Rules(one_per="author", reposts=False)),
        ("c", given),
        ("mood", Rules(reposts=False)),
    ] == sorted(((poll.id, poll.rules) for poll in read(store, {"c": given}).polls), key=itemgetter(0))


def test_what_makes_no_sense_is_left_out_and_told(store: MongoStore) -> None:
    key = ObjectId()
    store.polls.insert_one({"_id": key, "options": ["x", "y"]})
    store.insert("one", options=["x"])
    store.insert("rules", options=["x", "y"], stream={"match": "regex"})
    store.insert("text", options="x, y")
    found = read(store)
    assert [str(key)] == [poll.id for poll in found.polls]
    assert ["one", "rules", "text"] == sorted(found.left_out)
    assert "stream.match is 'regex'" in found.left_out["rules"]


def test_a_text_is_tried_with_the_polls_of_the_database(
    store: MongoStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.insert("tea", options=["milk", "ice tea"], stream={"one_per": "author"})
    store.insert("odd", options="x")
    monkeypatch.setenv("QUORATE_MONGO_URL", store.url)
    monkeypatch.setenv("QUORATE_MONGO_DATABASE", store.database)
    assert 0 == main(["stream", "test", "--options-from=mongo", "--json", "#IceTea"])
    found = json.loads(capsys.readouterr().out)
    assert [{"poll": "tea", "option": "ice tea", "one_per": "author"}] == found["votes"]
    assert ["poll 'odd' is left out: options is no list; give a list of texts"] == found["problems"]


def test_many_options_are_read(store: MongoStore) -> None:
    options = [f"option {number} of many" for number in range(100_000)]
    store.insert("big", options=options)
    assert options == [*read(store).polls[0].options]
