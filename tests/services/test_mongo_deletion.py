"""Deleted polls in MongoDB, or in what speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bson import ObjectId

from tests.services.mongo_store import MongoStore
from tests.support.waiting import until
from tests.unit.flush.commands import apply, poll
from tests.unit.flush.flushing import Gate, flushing, import_status, run, seen
from tests.unit.flush.test_deletions import (  # with this module's store
    at_once,
    counted,
    delete,
    test_a_deleted_poll_is_marked_and_forgotten_after_the_window,
    test_a_hand_made_document_is_not_imported_again,
    test_a_new_poll_takes_over_the_document_and_no_option_of_the_old_one,
)
from tests.unit.sinks.test_sink_deletion import *  # noqa: F403  # its tests, with this module's store

__all__ = [
    "at_once",
    "test_a_deleted_poll_is_marked_and_forgotten_after_the_window",
    "test_a_hand_made_document_is_not_imported_again",
    "test_a_new_poll_takes_over_the_document_and_no_option_of_the_old_one",
]


@pytest.fixture  # type: ignore[no-redef]  # in place of the one that came with the tests
def store() -> Iterator[MongoStore]:
    store = MongoStore()
    yield store
    store.close()


def test_a_new_poll_gets_no_option_of_a_document_that_has_an_objectid_of_the_same_text(store: MongoStore) -> None:
    """It was inserted without an `_id`, and its poll was deleted and created anew before a flush could mark it."""

    async def scenario() -> None:
        replica, sink = await counted(), Gate(store.sink(), refresh_s=0.05)
        id = str(store.polls.insert_one({"title": "Tea?", "options": ["yes", "no", "maybe"]}).inserted_id)
        async with flushing(replica, sink) as flusher:
            await until("it is imported and written", lambda: seen(sink, id) is not None)
            sink.down = "for a moment"
            await delete(replica, id)
            await apply(replica, poll(id, ["yes", "no"]))
            sink.down = None
            await until("the new one is written", lambda: store.polls.find_one({"_id": id}) is not None)
            searches = import_status(flusher)["searches"]
            await until("it is searched again", lambda: import_status(flusher)["searches"] > searches + 1)
            view = replica.state.poll(id)
            assert view is not None
            assert ["yes", "no"] == list(view.options)
            assert "deleted" == (store.polls.find_one({"_id": ObjectId(id)}) or {})["state"]

    run(scenario())
