"""What people may have made of a document in MongoDB: it is judged, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.sinks.fencing import judge
from quorate.sinks.mongo.stored import Document, body_of, stored_of
from quorate.sinks.sink import Fence, PollDocument, WriteOutcome

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
