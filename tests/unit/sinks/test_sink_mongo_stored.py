"""What people may have made of a document in MongoDB: it is judged, whatever it is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from quorate.sinks.fencing import judge
from quorate.sinks.mongo.sink import MongoSink
from quorate.sinks.mongo.stored import Document, body_of, stored_of
from quorate.sinks.sink import Fence, PollDocument, WriteOutcome
from tests.doubles.scripted_mongo import Command, ScriptedMongo

MOOD = PollDocument("mood", "How are you?", ["happy", "sad"], {"happy": 3, "sad": 1}, "open", 7, 1_700_000_000_000)


def written() -> Document:
    body = body_of(MOOD, Fence(1, 1, 1), "c1")
    return {**body, "results": dict(MOOD.results)}


@pytest.mark.parametrize("fence", [5, 2.5, None, ["0"], {"a": 1}, b"0", True])
def test_a_fence_that_is_edited_into_no_text_is_lower_than_every_other(fence: Any) -> None:
    raw = written()
    raw["quorate"]["fence"] = fence
    assert WriteOutcome.WRITTEN == judge(MOOD, Fence(1, 1, 2), "c1", stored_of(raw, MOOD.options), ledger=1)


@pytest.mark.parametrize("field", ["title", "options", "results", "closes_at", "total", "state", "write_ins"])
@pytest.mark.parametrize(
    "value", [None, float("nan"), {"a": {"b": [{}]}}, [["happy"], {"x": None}], b"\xff", 2**63 - 1]
)
def test_whatever_is_edited_is_judged(field: str, value: Any) -> None:
    raw = {**written(), field: value}
    expected = WriteOutcome.WRITTEN if (field, value) == ("closes_at", None) else WriteOutcome.EDITED
    assert expected == judge(MOOD, Fence(1, 1, 2), "c1", stored_of(raw, MOOD.options), ledger=1)


@pytest.mark.parametrize("digest", [None, 7, "", "9" * 5_000 + ":", "two:", "-1:x"])
def test_a_digest_that_is_edited_is_an_edit(digest: Any) -> None:
    raw = written()
    raw["quorate"]["digest"] = digest
    assert WriteOutcome.EDITED == judge(MOOD, Fence(1, 1, 2), "c1", stored_of(raw, MOOD.options), ledger=1)


class HandMade:
    """A server with one document that was put there by hand. Somebody edits it just when it has been claimed."""

    def __init__(self, **edited: Any) -> None:
        self.edited = edited
        self.document: Document = {"_id": "mood", "options": ["happy", "sad"], "results": {"happy": 3, "sad": 1}}
        self.written: list[Document] = []

    def answer(self, asked: Command) -> Command:
        name = next(iter(asked))
        if name == "find":
            found = [self.document] if asked["find"] == "polls" else []
            return {"ok": 1.0, "cursor": {"id": 0, "ns": f"ballots.{asked['find']}", "firstBatch": found}}
        if name != "update" or asked["update"] != "polls":
            return {"ok": 1.0, "n": 1, "nModified": 1}
        [update] = asked["updates"]
        wanted, change = update["q"], update["u"]["$set"]
        if "options" in change:
            if any(wanted.get(field) not in (None, {"$eq": self.document[field]}) for field in ("options", "results")):
                return {"ok": 1.0, "n": 0, "nModified": 0}
            self.written.append(change)
        self.document |= change
        if "options" not in change:
            self.document |= self.edited
        return {"ok": 1.0, "n": 1, "nModified": 1}


@pytest.mark.parametrize(
    ("edited", "outcome", "options"),
    [
        ({}, WriteOutcome.WRITTEN, ["happy", "sad"]),
        ({"options": ["happy", "sad", "calm"]}, WriteOutcome.WRITTEN, ["happy", "sad", "calm"]),
        ({"results": {"happy": 4, "sad": 1}}, WriteOutcome.EDITED, ["happy", "sad"]),
    ],
)
def test_what_is_edited_while_an_imported_poll_is_claimed_is_kept_or_told(
    edited: dict[str, Any], outcome: WriteOutcome, options: list[str]
) -> None:
    stored = HandMade(**edited)
    imported = replace(MOOD, initial_results={"happy": 3, "sad": 1})
    with ScriptedMongo(stored.answer) as server, closing(MongoSink(f"mongodb://{server.address}")) as sink:
        outcomes = sink.write([imported], Fence(1, 1, 1), "c1", timeout_s=10)
    assert {"mood": outcome} == outcomes
    assert options == stored.document["options"]
    assert 1 == len(stored.written)
