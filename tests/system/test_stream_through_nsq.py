"""Posts through everything to the database, exact to the vote, while connections break and parts are killed.

`python -m tests.system.stream_million` does the same with a million posts and more faults.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.waiting import wait_for
from tests.system.stream_chain import EARLY, LATE, StreamChain, parts_of
from tests.system.stream_faults import kill_leader, kill_nsqd, kill_stream

POSTS, HANG_UPS = 20_000, 20


@pytest.mark.timeout(240)
def test_each_post_counts_once_whatever_is_killed_on_its_way(tmp_path: Path) -> None:
    with StreamChain(tmp_path, "wikimedia", seed=1, hang_ups=HANG_UPS, of=POSTS) as chain:
        sizes = parts_of(POSTS, 4)
        chain.run_part(sizes[0], lambda: kill_stream(chain))
        chain.add_poll(LATE)
        chain.run_part(sizes[1], lambda: kill_nsqd(chain, 0))
        chain.close_poll(EARLY)
        chain.run_part(sizes[2], lambda: kill_leader(chain))
        chain.run_part(sizes[3], lambda: kill_stream(chain))
        chain.assert_exact_everywhere()
        assert chain.network.connections() > HANG_UPS
        wait_for("the stream that was started again is there", chain.stream.status, seen=chain.stream.tail)
        assert 0 == chain.stream.stop(10), chain.stream.tail()
