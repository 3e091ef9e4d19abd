"""Deleted polls in MongoDB, or in what speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.mongo_store import MongoStore
from tests.unit.sinks.sink_stores import Store
from tests.unit.sinks.test_sink_deletion import *  # noqa: F403  # its tests, with this module's store


@pytest.fixture  # type: ignore[no-redef]  # in place of the one that came with the tests
def store() -> Iterator[Store]:
    store = MongoStore()
    yield store
    store.close()
