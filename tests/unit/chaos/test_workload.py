"""All clients of a chaos run against a real node in this process: what the history of a run without faults holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from quorate.chaos.history import (
    FORMAT,
    Cast,
    Header,
    HistoryFile,
    NodeDigest,
    NodeLook,
    PollPlan,
    Read,
    Record,
    SentVote,
    read_history,
)
from quorate.chaos.workload.exchange import AskedNode
from quorate.chaos.workload.node_looks import KnownState
from quorate.chaos.workload.workload import LoadShape, Workload
from quorate.config import Address
from tests.support.resp_node import RespNode, running
from tests.support.waiting import wait_for

OPERATIONS = 400
LASTING = ("c1-single", "c1-batch", "c1-keyed", "c1-session", "c1-probe", "c1-redis")

Shown = dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], Shown]:
    """The records of a run, and what the node had in the end."""
    path = tmp_path_factory.mktemp("run") / "history.ndjson"
    with running() as node:
        run(node, path)
        shown = {poll: node.tally(poll) for poll in LASTING}
    return list(read_history(path)), shown


def run(node: RespNode, path: Path) -> None:
    history = HistoryFile(path)
    history.write(Header(FORMAT, "test", 1, 0, {"n1": ""}, 100_000))
    workload = Workload(
        [AskedNode("n1", "127.0.0.1", node.http.port, redis=Address("127.0.0.1", node.port))],
        history,
        prefix="c1",
        seed=1,
        window=100_000,
        known=lambda id: KnownState(),
        noticed=lambda now, before: None,
        changed=lambda change: None,
        shape=LoadShape(pause_s=0.001, read_pause_s=0.001, session_pause_s=0.001),
    )
    try:
        workload.start()
        counts = workload.recorder.counts
        wait_for("the clients did enough", lambda: counts.operations > OPERATIONS)
        wait_for("each poll has votes", lambda: all(any(node.tally(poll).values()) for poll in LASTING))
        workload.stop()
        assert "" == workload.settle(10.0)
        assert None is workload.failure
        workload.recorder.write_open()
    finally:
        workload.close()
        history.close()


def test_every_vote_of_the_history_is_in_the_tallies(done: tuple[list[Record], Shown]) -> None:
    records, shown = done
    weights = {option: weight for r in records if isinstance(r, PollPlan) for option, weight in r.options.items()}
    votes: dict[str, list[SentVote]] = {}
    acknowledged = {r.request for r in records if isinstance(r, Cast) and r.applied + r.duplicates + r.counted}
    for cast in (r for r in records if isinstance(r, Cast)):
        assert cast.votes == votes.setdefault(cast.request, cast.votes), "it is sent again with the same votes"
        assert [weights[vote.option] for vote in cast.votes] == [vote.weight for vote in cast.votes]
        assert cast.applied + cast.counted in (0, len(cast.votes))
    counted = Counter[str]()
    for vote in (vote for request in acknowledged for vote in votes[request]):
        counted[vote.option] += vote.weight
    for tally in shown.values():
        assert tally == {option: counted[option] for option in tally}
        assert any(tally.values())


def test_a_history_has_all_kinds_of_records(done: tuple[list[Record], Shown]) -> None:
    records, _ = done
    casts = [r for r in records if isinstance(r, Cast)]
    assert {"ids", "key", "session"} == {cast.way for cast in casts}
    assert {True, False} == {vote.poll is None for cast in casts for vote in cast.votes}
    assert any(len(cast.votes) > 1 for cast in casts if cast.way == "ids")
    of_redis = [cast for cast in casts if cast.door == "resp" and cast.counted]
    assert {"redis", "redis-batch", "cluster-redis"} <= {cast.client.partition("-n1")[0] for cast in of_redis}
    assert all(cast.version is not None for cast in of_redis if len(cast.votes) == 1)
    reads = [r for r in records if isinstance(r, Read) and r.outcome == "ok"]
    assert {"none", "weak", "linearizable"} == {read.level for read in reads}
    by_redis = {(read.level, read.version is not None) for read in reads if read.door == "resp"}
    assert {("none", True), ("weak", False), ("linearizable", False)} == by_redis
    assert any(read.min_version is not None for read in reads)
    assert all(read.total == sum(read.results.values()) for read in reads)
    assert all(read.settles for read in reads[-5:])
    assert any(r.outcome == "ok" and r.digest for r in records if isinstance(r, NodeDigest))
    assert any(isinstance(r, NodeLook) for r in records)
    numbers = [r.number for r in records if isinstance(r, Cast | Read)]
    assert len(numbers) == len(set(numbers))
