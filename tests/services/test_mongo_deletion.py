"""Deleted polls in MongoDB, or in what speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.mongo_store import MongoStore
from tests.unit.flush.test_deletions import (  # with this module's store
    at_once,
    test_a_deleted_poll_is_marked_and_forgotten_after_the_window,
    test_a_hand_made_document_is_not_imported_again,
    test_a_new_poll_takes_over_the_document_and_no_option_of_the_old_one,
)
from tests.unit.sinks.sink_stores import Store
from tests.unit.sinks.test_sink_deletion import *  # noqa: F403  # its tests, with this module's store

__all__ = [
    "at_once",
    "test_a_deleted_poll_is_marked_and_forgotten_after_the_window",
    "test_a_hand_made_document_is_not_imported_again",
    "test_a_new_poll_takes_over_the_document_and_no_option_of_the_old_one",
]


@pytest.fixture  # type: ignore[no-redef]  # in place of the one that came with the tests
def store() -> Iterator[Store]:
    store = MongoStore()
    yield store
    store.close()
