"""What MongoDB alone brings with it: ids and numbers of many kinds, servers that are away or hang, odd documents."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import bson
import pymongo
import pytest
from bson import Decimal128, Int64, ObjectId

from quorate.sinks.importable import ManualPoll
from quorate.sinks.mongo import stored
from quorate.sinks.mongo.sink import MongoSink
from quorate.sinks.sink import Fence, PollDocument, SinkError, WriteOutcome
from tests.services.mongo_link import MeanwhileLink, MongoLink
from tests.services.mongo_store import MongoStore

T = 20.0
MOOD = PollDocument("mood", "How are you?", ["happy", "sad"], {"happy": 3, "sad": 1}, "open", 7, 1_700_000_000_123)
FENCE = Fence(1, 1, 7)


@pytest.fixture
def store() -> Iterator[MongoStore]:
    store = MongoStore()
    yield store
    store.close()


# ---- what people see -------------------------------------------------------------------------------------------------


def test_a_person_finds_what_they_expect(store: MongoStore) -> None:
    store.sink().write([MOOD], FENCE, "c1", timeout_s=T)
    found = store.stored("mood")
    assert found is not None
    assert ["_id", "title", "options", "results", "total", "state"] == list(found)[:6]
    assert datetime(2023, 11, 14, 22, 13, 20, 123000) == found["updated"]
    assert {"cluster": "c1", "fence": str(FENCE), "version": 7} == {
        k: v for k, v in found["quorate"].items() if k != "digest"
    }
    assert [{"_id": "mood", "cluster": "c1", "generation": 1}] == list(
        store.client[store.database]["polls_written"].find()
    )


def test_of_very_many_options_only_the_number_is_compared(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "COMPARED_MAX", 1)
    sink = store.sink()
    for version in (1, 2):
        sink.write([MOOD], Fence(1, 1, version), "c1", timeout_s=T)
    store.edit("mood", options=["happy", "sad", "calm"])
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([MOOD], Fence(1, 1, 3), "c1", timeout_s=T)
    assert {"mood": ["happy", "sad", "calm"]} == sink.find_longer({"mood": 2}, "c1", timeout_s=T)


def test_an_option_added_to_a_poll_with_an_object_id_is_found(store: MongoStore) -> None:
    id = ObjectId()
    imported = replace(MOOD, id=str(id), initial_results={"happy": 3, "sad": 1})
    store.polls.insert_one({"_id": id, "options": ["happy", "sad"], "results": {"happy": 3, "sad": 1}})
    sink = store.sink()
    assert {str(id): WriteOutcome.WRITTEN} == sink.write([imported], FENCE, "c1", timeout_s=T)
    store.polls.update_one({"_id": id}, {"$push": {"options": "calm"}})
    sizes = {str(id): 2} | {f"poll-{size}": size for size in range(250)}
    assert {str(id): ["happy", "sad", "calm"]} == sink.find_longer(sizes, "c1", timeout_s=T)


def test_the_index_for_looking_up_fences_is_there(store: MongoStore) -> None:
    store.sink().write([MOOD], FENCE, "c1", timeout_s=T)
    assert [("quorate.cluster", 1), ("quorate.fence", -1)] == store.polls.index_information()["quorate_fence"]["key"]


def test_writes_wait_for_a_majority_and_its_journal(store: MongoStore) -> None:
    assert {"w": "majority", "j": True} == store.sink()._polls().write_concern.document


def test_a_poll_of_the_largest_size_survives(store: MongoStore) -> None:
    options = [f"{number:06d}" + "ö" * 17 for number in range(100_000)]  # 4 MB of text
    big = PollDocument("big", "", options, dict.fromkeys(options, 2**40), "open", 1, 0)
    sink = store.sink()
    for version in (1, 2):
        assert {"big": WriteOutcome.WRITTEN} == sink.write([big], Fence(1, 1, version), "c1", timeout_s=60)
    assert {"big": big} == sink.read(timeout_s=60)


def test_many_polls_are_written_and_written_again(store: MongoStore) -> None:
    documents = [replace(MOOD, id=f"p{number:05d}") for number in range(3000)]
    sink = store.sink()
    for version in (1, 2):
        outcomes = sink.write(documents, Fence(1, 1, version), "c1", timeout_s=60)
        assert dict.fromkeys((document.id for document in documents), WriteOutcome.WRITTEN) == outcomes


# ---- what people write -----------------------------------------------------------------------------------------------


def test_a_document_without_an_id_of_its_own_is_imported_under_its_object_id(store: MongoStore) -> None:
    key = store.polls.insert_one({"title": "Tea?", "options": ["yes", "no"], "results": {"yes": 2}, "owner": "ann"})
    id = str(key.inserted_id)
    sink = store.sink()
    assert ([ManualPoll(id, "Tea?", ["yes", "no"], {"yes": 2, "no": 0})], []) == sink.find(timeout_s=T)
    tea = PollDocument(
        id, "Tea?", ["yes", "no"], {"yes": 3, "no": 0}, "open", 8, 0, initial_results={"yes": 2, "no": 0}
    )
    for version in (1, 2):
        assert {id: WriteOutcome.WRITTEN} == sink.write([tea], Fence(1, 1, version), "c1", timeout_s=T)
    assert 1 == store.polls.count_documents({})
    found = store.polls.find_one({"_id": ObjectId(id)})
    assert found is not None
    assert ({"yes": 3, "no": 0}, "ann") == (found["results"], found["owner"])
    assert [id] == list(sink.read(timeout_s=T))


def test_a_text_that_reads_like_an_object_id_is_left_alone(store: MongoStore) -> None:
    store.insert("0123456789abcdef01234567", options=["a", "b"])
    found, unreadable = store.sink().find(timeout_s=T)
    assert ([], ["0123456789abcdef01234567"]) == (found, [one.id for one in unreadable])


@pytest.mark.parametrize("three", [3, 3.0, Int64(3)])
def test_whole_numbers_of_every_kind_are_taken_and_can_be_written_over(store: MongoStore, three: Any) -> None:
    store.insert("mood", options=["$happy", "sa.d"], results={"$happy": three, "sa.d": 0})
    sink = store.sink()
    assert {"$happy": 3, "sa.d": 0} == sink.find(timeout_s=T)[0][0].results
    initial = {"$happy": 3, "sa.d": 0}
    mood = replace(MOOD, options=list(initial), results={"$happy": 4, "sa.d": 0}, initial_results=initial)
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([mood], FENCE, "c1", timeout_s=T)


def test_documents_of_all_sorts_hide_no_poll(store: MongoStore) -> None:
    odd: list[dict[str, Any]] = [
        {"_id": 1, "options": ["a", "b"]},
        {"_id": {"a": 1}, "options": ["a", "b"]},
        {"_id": "decimal", "options": ["a", "b"], "results": {"a": Decimal128("3")}},
        {"_id": "nan", "options": ["a", "b"], "results": {"a": float("nan")}},
        {"_id": "date", "options": ["a", "b"], "title": bson.DatetimeMS(2**62)},
        {"_id": "binary", "options": b"ab", "title": bson.Regex("x")},
        {"_id": "ref", "options": ["a", "b"], "results": {"$ref": "x", "$id": 1}},
        {"_id": "empty"},
        {"_id": "nothing", "options": None, "results": None, "title": None, "state": None},
    ]
    store.polls.insert_many(odd)
    store.insert("good", options=["a", "b"], quorate=5)
    found, unreadable = store.sink().find(timeout_s=T)
    assert ["good"] == [poll.id for poll in found]
    assert len(odd) == len(unreadable)
    good = PollDocument("good", "", ["a", "b"], {"a": 1, "b": 0}, "open", 1, 0, initial_results={"a": 0, "b": 0})
    assert {"good": WriteOutcome.WRITTEN} == store.sink().write([good], FENCE, "c1", timeout_s=T)


def test_an_edit_between_our_look_and_our_write_is_not_overwritten(store: MongoStore) -> None:
    store.insert("mood", options=["happy", "sad"], results={"happy": 5, "sad": 0})
    imported = replace(MOOD, initial_results={"happy": 5, "sad": 0})
    with closing(MeanwhileLink(store.url, lambda: store.edit("mood", results={"happy": 6, "sad": 0}))) as link:
        outcomes = store.sink(link.url).write([imported], FENCE, "c1", timeout_s=T)
    assert {"mood": WriteOutcome.CHANGED} == outcomes
    found = store.stored("mood")
    assert found is not None
    assert ({"happy": 6, "sad": 0}, False) == (found["results"], "quorate" in found)


def test_an_adopted_database_is_written_by_its_new_cluster_alone(store: MongoStore) -> None:
    store.sink().write([MOOD, replace(MOOD, id="other")], Fence(3, 9, 100), "old", timeout_s=T)
    sink = store.sink()
    assert 2 == sink.adopt("new", timeout_s=T)
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([MOOD], Fence(1, 1, 1), "new", timeout_s=T)
    late = store.sink().write([MOOD, replace(MOOD, id="other")], Fence(3, 9, 101), "old", timeout_s=T)
    assert {"mood": WriteOutcome.FOREIGN, "other": WriteOutcome.FOREIGN} == late


# ---- leaders at once -------------------------------------------------------------------------------------------------


def test_leaders_that_write_at_once_never_bring_a_document_back(store: MongoStore) -> None:
    failed: list[BaseException] = []
    seen: list[int] = []
    done = threading.Event()

    def lead(term: int) -> None:
        sink = store.sink()
        try:
            for version in range(1, 41):
                mood = replace(MOOD, results={"happy": 1000 * term + version, "sad": 0})
                with suppress(SinkError):  # "somebody else is changing it at this moment"
                    sink.write([mood], Fence(1, term, version), "c1", timeout_s=T)
        except BaseException as error:
            failed.append(error)

    def watch() -> None:
        while not done.is_set():
            found = store.polls.find_one({"_id": "mood"}, {"results": 1})
            seen.append(found["results"]["happy"] if found else 0)

    threads = [threading.Thread(target=lead, args=(term,)) for term in (1, 2, 3)]
    watcher = threading.Thread(target=watch)
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join(100)
    done.set()
    watcher.join(20)
    assert [] == failed
    assert sorted(seen) == seen
    assert {"happy": 3040, "sad": 0} == store.sink().read(timeout_s=T)["mood"].results


# ---- servers that are away -------------------------------------------------------------------------------------------


class Link(MongoLink):
    """A link to the server that can be made to swallow everything."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.flows = threading.Event()
        self.flows.set()

    def pass_on(self, data: bytes, goal: socket.socket, *, to_server: bool) -> None:
        self.flows.wait(60)
        super().pass_on(data, goal, to_server=to_server)


@pytest.fixture
def link(store: MongoStore) -> Iterator[Link]:
    link = Link(store.url)
    yield link
    link.flows.set()
    link.close()


def test_a_server_that_hangs_is_given_up_by_the_deadline_and_used_when_it_answers(
    store: MongoStore, link: Link
) -> None:
    sink = store.sink(link.url)
    sink.write([MOOD], Fence(1, 1, 1), "c1", timeout_s=T)
    link.flows.clear()
    for call in (
        lambda: sink.write([MOOD], Fence(1, 1, 2), "c1", timeout_s=0.5),
        lambda: sink.find(timeout_s=0.5),
        lambda: sink.newest_foreign_fence("c1", timeout_s=0.5),
        lambda: sink.read(timeout_s=0.5),
    ):
        with pytest.raises(SinkError, match="MongoDB"):
            call()
    link.flows.set()
    assert {"mood": WriteOutcome.WRITTEN} == sink.write([MOOD], Fence(1, 1, 3), "c1", timeout_s=T)


def test_a_server_that_came_later_than_the_node_gets_the_index_too(store: MongoStore, link: Link) -> None:
    sink = store.sink(link.url)
    link.flows.clear()
    with pytest.raises(SinkError):
        sink.read(timeout_s=0.5)
    link.flows.set()
    sink.read(timeout_s=T)
    assert "quorate_fence" in store.polls.index_information()


def test_a_server_that_is_not_there_is_said(store: MongoStore) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as nobody:
        port = nobody.getsockname()[1]
    sink = MongoSink(f"mongodb://127.0.0.1:{port}/")
    with pytest.raises(SinkError, match=rf"MongoDB cannot be reached \(127.0.0.1:{port}: .*refused"):
        sink.write([MOOD], FENCE, "c1", timeout_s=0.5)
    sink.close()


@pytest.mark.parametrize("url", ["postgres://x", "mongodb://u:p@127.0.0.1:99999/", "mongodb://127.0.0.1:port/"])
def test_an_address_that_makes_no_sense_is_said(store: MongoStore, url: str) -> None:
    with pytest.raises(SinkError, match="cannot be used: "):
        MongoSink(url).write([MOOD], FENCE, "c1", timeout_s=T)


def test_a_server_of_another_kind_is_said_in_the_same_words_each_time(store: MongoStore) -> None:
    """The flush says a failure once, as long as it is the same."""
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

    class Http(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(answer)

    said = set()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Http) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        sink = MongoSink(f"mongodb://127.0.0.1:{server.server_address[1]}/")
        for _ in range(2):
            with pytest.raises(SinkError, match="no MongoDB") as refused:
                sink.write([MOOD], FENCE, "c1", timeout_s=20)
            said.add(str(refused.value))
        sink.close()
        server.shutdown()
    assert 1 == len(said)


def test_a_document_that_is_too_large_for_the_server_is_an_error(store: MongoStore) -> None:
    """It is over MongoDB's 16 MB; the state machine's limits keep every poll below that."""
    huge = replace(MOOD, options=["x" * (17 * 1024 * 1024)])
    with pytest.raises(SinkError, match=r"MongoDB cannot be used: .*(MaxDocumentSize|too large)"):
        store.sink().write([huge], FENCE, "c1", timeout_s=60)


def test_a_closed_sink_answers_an_error(store: MongoStore) -> None:
    sink = store.sink()
    sink.read(timeout_s=T)
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="is closed"):
        sink.read(timeout_s=T)


def test_a_document_of_ours_edited_into_nonsense_is_said(store: MongoStore) -> None:
    sink = store.sink()
    sink.write([MOOD], FENCE, "c1", timeout_s=T)
    store.polls.update_one({"_id": "mood"}, {"$set": {"results": [1, 2]}})
    with pytest.raises(SinkError, match="edited into nonsense"):
        sink.read(timeout_s=T)
    assert {"mood": WriteOutcome.EDITED} == sink.write([MOOD], replace(FENCE, version=9), "c1", timeout_s=T)


def test_a_user_without_the_role_is_told_so(store: MongoStore) -> None:
    class Unauthorized(MongoSink):
        """The test server knows no users."""

        def _polls(self) -> Any:
            raise pymongo.errors.OperationFailure("not authorized on ballots to execute command", 13)

    with pytest.raises(SinkError, match="give it the role readWrite"):
        Unauthorized(store.url).read(timeout_s=T)


def test_an_older_copy_that_was_put_back_under_a_running_sink_is_told(store: MongoStore) -> None:
    sink = store.sink()
    sink.write([MOOD], FENCE, "c1", timeout_s=T)
    old = store.stored("mood")
    assert old is not None
    sink.write([MOOD], replace(FENCE, version=9), "c1", timeout_s=T)
    store.polls.replace_one({"_id": "mood"}, old)
    known = replace(MOOD, written_as=str(replace(FENCE, version=9)))
    assert {"mood": WriteOutcome.RESTORED} == sink.write([known], replace(FENCE, version=10), "c1", timeout_s=T)


def test_a_second_counter_is_told_and_never_stops_the_flush(store: MongoStore) -> None:
    """Another program counts into the same document, also between our look and our write."""
    store.sink().write([MOOD], FENCE, "c1", timeout_s=T)
    counts = {"$inc": {"results.happy": 1}}
    with closing(MeanwhileLink(store.url, lambda: store.polls.update_one({"_id": "mood"}, counts))) as link:
        sink = store.sink(link.url)
        for version in range(8, 12):
            outcomes = sink.write([MOOD], replace(FENCE, version=version), "c1", timeout_s=T)
            assert {"mood": WriteOutcome.EDITED} == outcomes
