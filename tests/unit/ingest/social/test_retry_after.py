"""How long an answer asks to wait."""

from __future__ import annotations

import pytest

from quorate.ingest.social.reading.retry_after import retry_after_s

DATE = "Fri, 27 Nov 2026 05:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 120 "}, 120),
        ({"Retry-After": "999999"}, 3_600),
        ({"Retry-After": "9" * 400}, 0),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "٣"}, 0),
        ({"Retry-After": "Fri, 27 Nov 2026 05:01:30 GMT", "Date": DATE}, 90),
        ({"Retry-After": "Fri, 27 Nov 2026 04:00:00 GMT", "Date": DATE}, 0),
        ({"Retry-After": "Fri, 27 Nov 2026 05:00:40 GMT"}, 30),
        ({"Retry-After": "Fri, 99 Nov 2026 05:00:40 GMT"}, 0),
    ],
)
def test_what_an_answer_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert seconds == retry_after_s(headers, lambda: 1_795_755_610.0)
