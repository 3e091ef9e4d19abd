"""What a database that fails says of itself: MongoDB's protocol, answered by a script."""

from __future__ import annotations

import pytest

from quorate.config import Mongo
from quorate.errors import QuorateError
from quorate.ingest.social.options.mongo_polls import MongoPolls
from tests.doubles.scripted_mongo import Command, ScriptedMongo


def test_a_database_that_refuses_is_told() -> None:
    refused = {"ok": 0.0, "code": 13, "codeName": "Unauthorized", "errmsg": "not authorized on ballots"}
    with ScriptedMongo(lambda command: refused) as mongo, pytest.raises(QuorateError) as told:
        MongoPolls(Mongo(url=f"mongodb://{mongo.address}/"), {}).read()
    assert "MongoDB refuses this user (not authorized on ballots)" in told.value.detail


def test_a_database_that_cannot_be_reached_is_told() -> None:
    with pytest.raises(QuorateError, match=r"MongoDB cannot be reached .* the reading goes on when it is back"):
        MongoPolls(Mongo(url="mongodb://127.0.0.1:9/"), {}, timeout_s=0.5).read()


def test_a_cursor_that_breaks_gives_no_polls() -> None:
    """Half of the polls are not all of them."""

    def answer(command: Command) -> Command:
        if "find" in command:
            batch = [{"_id": "a", "options": ["x", "y"], "state": "open"}]
            return {"ok": 1.0, "cursor": {"id": 7, "ns": "ballots.polls", "firstBatch": batch}}
        return {"ok": 0.0, "code": 43, "codeName": "CursorNotFound", "errmsg": "cursor id 7 not found"}

    with ScriptedMongo(answer) as mongo, pytest.raises(QuorateError, match="cursor id 7 not found"):
        MongoPolls(Mongo(url=f"mongodb://{mongo.address}/"), {}).read()
