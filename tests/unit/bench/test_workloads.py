"""The requests that the load makes: as long at one hour as at another, because their heads are made once."""

from __future__ import annotations

import pytest

from bench.load import first_number
from bench.workloads import WORKLOADS, Workload

DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda workload: workload.name)
def test_requests_have_the_same_length_at_any_time(workload: Workload) -> None:
    make = workload.maker("127.0.0.1:8001")
    numbers = [first_number(minute_ms) for minute_ms in range(0, 2 * DAY_MS, 60_000)]
    assert {len(make(0))} == {len(make(number + later)) for number in numbers for later in (0, 10**9)}
