"""A database of a test's own on the MongoDB that `scripts/services.sh` gives."""

from __future__ import annotations

import os
import uuid
from typing import Any

import pymongo
import pytest

from quorate.sinks.mongo.sink import MongoSink

URL = "QUORATE_TEST_MONGO_URL"


def mongo_url() -> str:
    """The server to test against; without one the test is skipped, or fails where services are required."""
    url = os.environ.get(URL, "")
    if not url:
        missing = f"no MongoDB: scripts/services.sh up mongo, then eval its env, which sets {URL}"
        if os.environ.get("QUORATE_REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return url


class MongoStore:
    """A database of MongoDB for one test. It is also a `Store` of `tests/unit/sinks/sink_stores.py`."""

    def __init__(self) -> None:
        self.url = mongo_url()
        self.database = f"test_{uuid.uuid4().hex[:12]}"
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(self.url, timeoutMS=20_000)
        self.polls = self.client[self.database]["polls"]
        self._sinks: list[MongoSink] = []

    def sink(self, url: str | None = None) -> MongoSink:
        self._sinks.append(MongoSink(url or self.url, database=self.database, collection="polls"))
        return self._sinks[-1]

    def insert(self, id: str, **fields: Any) -> None:
        self.polls.insert_one({"_id": id, **fields})

    def edit(self, id: str, **fields: Any) -> None:
        self.polls.update_one({"_id": id}, {"$set": fields})

    def add_field(self, id: str, name: str, value: str) -> None:
        self.edit(id, **{name: value})

    def delete(self, id: str) -> None:
        self.polls.delete_one({"_id": id})

    def empty(self) -> None:
        self.client.drop_database(self.database)

    def stored(self, id: str) -> dict[str, Any] | None:
        return self.polls.find_one({"_id": id})

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
        self.client.drop_database(self.database)
        self.client.close()
