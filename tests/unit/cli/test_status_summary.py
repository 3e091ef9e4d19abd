"""`quorate status` on one screen: sentences, members, and a line for each part, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from quorate.cli.status_summary import member_rows, summary
from tests.support.scripted_node import ScriptedNode
from tests.unit.cli.told import Capture, Told

LINKS = {
    "n1": {"address": "[2001:db8::1]:9001", "open": True, "heard_ms_ago": 31, "refused": ""},
    "n3": {"address": "10.0.0.3:9001", "open": False, "heard_ms_ago": 61_000, "refused": "its raft.key is another one"},
}
STATUS: dict[str, Any] = {
    "node": "n2",
    "version": 1_234_567,
    "uptime_s": 86_400.5,
    "listening": {"http": ["0.0.0.0:8001", "[::]:8001"], "raft": ["0.0.0.0:9001"]},
    "raft": {
        "role": "follower",
        "term": 7,
        "leader": "n1",
        "members": {"n1": "voter", "n2": "voter", "n3": "voter"},
        "links": LINKS,
        "election_timeout_ms": 500,
        "last_index": 2_000,
        "applied_index": 1_990,
        "log_bytes": 3 * 1024 * 1024,
        "snapshot_index": 1_500,
        "leader_changes": 3,
        "leaderless_s": 1.25,
    },
    "state": {"polls": 2, "options": 9, "producers": 1, "dedup": {"held": 5_000, "size": 1_000_000}},
    "sinks": {"mongo": {"caught_up": False, "pending_polls": 2, "lag_versions": 40, "last_error": "it is down " * 9}},
    "sources": {"nsq": {"received": 12_000, "voted": 11_990, "problem": ""}},
    "backups": {"leads": False},
    "auth": {"tokens": 2, "anonymous": "vote", "problem": None},
    "config": {"http": {"timeout_ms": 5_000}},
}


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    scripted = ScriptedNode([(200, STATUS)])
    yield scripted
    scripted.stop()


def test_the_most_important_comes_first_and_all_fits_80_columns(node: ScriptedNode, capsys: Capture) -> None:
    lines = Told(capsys, "status", "--node", node.url).out.splitlines()
    assert [] == [line for line in lines if len(line) > 80]
    assert len(lines) < 30
    assert "n1 leads in term 7, and votes count." in lines[0]
    headings = next(place for place, line in enumerate(lines) if line.startswith("MEMBER"))
    assert "n3 (voter) is not connected" in " ".join(lines[:headings])
    assert lines[headings + 1 : headings + 4] == [
        "n1      voter, leader  open       31 ms ago   [2001:db8::1]:9001",
        "n2      voter          this node  -           -",
        "n3      voter          down       61.0 s ago  10.0.0.3:9001",
    ]
    assert "quorate status --all" in lines[-1]


def test_each_part_has_a_line() -> None:
    assert {
        "node": "n2, up for 24.0 h, http at 0.0.0.0:8001 and [::]:8001, raft at 0.0.0.0:9001",
        "log": "2,000 entries (10 not applied yet), 3.0 MiB on disk, a snapshot up to entry 1,500",
        "elections": "3 changes of the leader seen, and 1.2 s without one, since the start",
        "state": "version 1,234,567, 2 polls with 9 options, 5,000 ids remembered (at least the newest 1,000,000), 1 "
        "producer session",
        "sink mongo": "written by the leader",
        "source nsq": "received 12,000, voted 11,990",
        "backups": "taken by the leader",
        "tokens": "2 tokens, callers without one may vote",
    } == dict(summary(STATUS))


def test_the_leader_says_how_its_sinks_and_backups_are() -> None:
    leading = {**STATUS, "raft": {**STATUS["raft"], "role": "leader"}}
    leading["backups"] = {"leads": True, "last_age_s": 7_200, "next_in_s": 600}
    told = dict(summary(leading))
    assert told["sink mongo"].startswith("behind by 2 polls (40 versions), error: it is down")
    assert "the last is 2.0 h old, the next is due in 10.0 min" == told["backups"]
    leading["sinks"] = {"mongo": {"caught_up": True, "last_success_age_s": 0.5, "last_error": "of long ago"}}
    assert "has all, last written or compared 500 ms ago" == dict(summary(leading))["sink mongo"]


def test_a_door_that_is_not_open_is_left_out() -> None:
    listening = {"http": ["0.0.0.0:8001"], "resp": [], "raft": ["0.0.0.0:9001"]}
    told = dict(summary({**STATUS, "listening": listening}))
    assert "n2, up for 24.0 h, http at 0.0.0.0:8001, raft at 0.0.0.0:9001" == told["node"]


def test_what_a_node_does_not_say_is_left_out() -> None:
    assert ([], {"node": "n1"}) == (member_rows({"node": "n1"}), dict(summary({"node": "n1"})))
