"""What a node that is not ready says, and on which thread it finds out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from quorate.cluster.flush.flushers import Flushers
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.status import ConnectionStatus, RaftStatus
from quorate.http.api import Check, CheckResult
from quorate.joining import Joining
from quorate.readiness import Readiness, first_failing


class State:
    cluster_id = "c1"


class Replica:
    """A follower of n2 that has applied everything, unless told otherwise."""

    node_id = "n1"
    is_leader = False
    term = 3
    state = State()

    def __init__(self, leader: str | None = "n2", *, via: str | None = None, **raft: Any) -> None:
        self._leader, self._raft = leader, raft
        self.leader_via = via
        self.asked_on: list[threading.Thread] = []

    @property
    def leader(self) -> str | None:
        self.asked_on.append(threading.current_thread())
        return self._leader

    def status(self) -> RaftStatus:
        known: dict[str, Any] = {"role": "follower", "applied_index": 7, "commit_index": 7, "last_index": 9}
        return RaftStatus(**{**known, **self._raft})


class Search:
    def __init__(self, waits_for: str | None = None) -> None:
        self.waits_for = waits_for


class Sinks:
    def __init__(self, **answers: tuple[bool, str]) -> None:
        self._answers = answers

    @property
    def names(self) -> Sequence[str]:
        return list(self._answers)

    def caught_up(self, name: str) -> tuple[bool, str]:
        return self._answers[name]


def readiness(replica: Replica, waits_for: str | None = None, sinks: Sinks | None = None) -> Readiness:
    flushers = cast(Flushers, sinks or Sinks())
    return Readiness(cast(RaftReplica, replica), cast(Joining, Search(waits_for)), flushers)


def results(made: Readiness) -> dict[str, tuple[bool, str, str]]:
    return {check.name: check.run() for check in made.checks}


@pytest.mark.parametrize(
    ("replica", "waits_for", "expected"),
    [
        (Replica(), None, (True, "n2", "term 3")),
        (
            Replica(via="n3"),
            None,
            (False, "n2 is reached over n3 only", "no word comes from n2 itself; n3 passes on what this node is asked"),
        ),
        (Replica("n1"), None, (False, "this node is elected and has yet to apply its log", "term 3")),
        (Replica(None), "2 of 3 nodes", (False, "not a member of a cluster yet", "2 of 3 nodes")),
        (
            Replica(None, stranger_to="c1"),
            None,
            (
                False,
                "this node's disk is new to the cluster",
                "quorate members add n1 HOST:PORT; if its disk was replaced: quorate members replace n1",
            ),
        ),
        (
            Replica(None, waiting_for=["n2", "n3"]),
            None,
            (False, "waiting to meet n2, n3", "a cluster is formed once all have met"),
        ),
        (
            Replica(None, leader_heard_ms_ago=1_240),
            None,
            (False, "none known", "a majority of the nodes must be up and connected"),
        ),
        (Replica(None), None, (False, "none known", "a majority of the nodes must be up and connected")),
        (
            Replica(None, leader_heard_ms_ago=1_240, leader_changes=1),
            None,
            (
                False,
                "none known",
                "the last one was heard 1.2 s ago; a majority of the nodes must be up and connected",
            ),
        ),
    ],
)
def test_a_node_without_a_leader_says_what_it_waits_for(
    replica: Replica, waits_for: str | None, expected: tuple[bool, str, str]
) -> None:
    async def main() -> dict[str, tuple[bool, str, str]]:
        return results(readiness(replica, waits_for))

    assert expected == asyncio.run(main())["leader"]


@pytest.mark.parametrize(
    ("raft", "expected"),
    [
        ({}, (True, "applied 7", "committed 7, last 9")),
        ({"lag_entries": 1_000, "lag_ms": 400}, (True, "applied 7", "committed 1007, last 9")),
        (
            {"lag_entries": 1_001, "lag_ms": 400},
            (False, "applied 7, 1,001 entries and 0.4 s behind", "committed 1008, last 9"),
        ),
        (
            {"forgotten": "quorate members replace n1"},
            (False, "the disk does not count", "quorate members replace n1"),
        ),
        ({"lag_entries": 1, "lag_ms": 5_000}, (True, "applied 7", "committed 8, last 9")),
        ({"lag_entries": 1, "lag_ms": 5_100}, (False, "applied 7, 1 entry and 5.1 s behind", "committed 8, last 9")),
        ({"role": "halted"}, (False, "halted", "see the log of this node")),
        ({"role": "starting"}, (False, "starting", "see the log of this node")),
    ],
)
def test_a_node_that_is_far_behind_is_not_ready(raft: Mapping[str, Any], expected: tuple[bool, str, str]) -> None:
    async def main() -> dict[str, tuple[bool, str, str]]:
        return results(readiness(Replica(**raft)))

    assert expected == asyncio.run(main())["log"]


@pytest.mark.parametrize(
    ("leader", "expected"),
    [
        ("n2", (True, "n3 has another one: refused", "n3 has another history than n1: …")),
        (None, (False, "n3 has another one: refused", "n3 has another history than n1: …")),
    ],
)
def test_a_peer_with_another_history_is_told(leader: str | None, expected: tuple[bool, str, str]) -> None:
    """The majority serves. A node that is left alone by it is not ready, and says why."""
    replica = Replica(leader, other_histories={"n3": "n3 has another history than n1: …"})

    async def main() -> list[tuple[bool, str, str]]:
        return [results(readiness(each))["history"] for each in (Replica(), replica)]

    assert [(True, "one for all peers", ""), expected] == asyncio.run(main())


@pytest.mark.parametrize(("leader", "ready"), [("n2", True), (None, False)])
def test_a_peer_that_cannot_come_in_is_told_with_the_reason(leader: str | None, ready: bool) -> None:
    links = {
        "n2": ConnectionStatus("h:1", True, 5, 0, 0, 0),
        "n3": ConnectionStatus("h:2", False, None, 0, 0, 0, "its raft.key is another one"),
        "n4": ConnectionStatus("h:3", False, None, 0, 0, 0),
        "n5": ConnectionStatus("h:4", False, None, 0, 0, 0, "n5 has another history than n1"),
    }

    async def main() -> list[tuple[bool, str, str]]:
        replicas = [
            Replica(leader, links=links, other_histories={"n5": "n5 has another history than n1"}),
            Replica(leader, links={"n2": links["n2"], "n4": links["n4"]}),
        ]
        return [results(readiness(each))["peers"] for each in replicas]

    assert [(ready, "n3 refused", "n3: its raft.key is another one"), (True, "1 of 2 connected", "")] == asyncio.run(
        main()
    )


@pytest.mark.parametrize(
    ("differs", "expected"),
    [
        ([], (True, "as in raft.peers", "")),
        (
            ["n2 is at a:1", "n3 is gone"],
            (True, "raft.peers and log differ, both are tried", "n2 is at a:1; n3 is gone"),
        ),
    ],
)
def test_addresses_that_differ_are_a_note_and_no_failure(differs: list[str], expected: tuple[bool, str, str]) -> None:
    async def main() -> dict[str, tuple[bool, str, str]]:
        return results(readiness(Replica(address_differences=differs)))

    assert expected == asyncio.run(main())["addresses"]


def test_each_sink_has_a_line_of_its_own_and_one_sink_alone_the_line_it_always_had() -> None:
    async def main() -> list[dict[str, tuple[bool, str, str]]]:
        behind, well = (False, "no connection"), (True, "version 7 is in sqlite")
        sinks = [Sinks(), Sinks(sqlite=well), Sinks(sqlite=well, mongo=behind)]
        return [results(readiness(Replica(), sinks=each)) for each in sinks]

    found = asyncio.run(main())
    assert [
        {"flush": (True, "no sink", "")},
        {"flush": (True, "version 7 is in sqlite", "")},
        {"flush:sqlite": (True, "version 7 is in sqlite", ""), "flush:mongo": (False, "no connection", "")},
    ] == [{name: result for name, result in each.items() if name.startswith("flush")} for each in found]


def test_another_thread_is_told_the_first_failing_check_and_the_loop_runs_the_checks() -> None:
    async def main() -> tuple[list[str | None], list[threading.Thread]]:
        ready, not_ready = Replica(), Replica(role="halted")
        told = [await asyncio.to_thread(readiness(replica).why_not) for replica in (ready, not_ready)]
        return told, ready.asked_on + not_ready.asked_on

    told, threads = asyncio.run(main())
    assert [None, "log halted: see the log of this node"] == told
    assert {threading.main_thread()} == set(threads)


def test_a_check_of_the_sink_does_not_make_a_node_unready() -> None:
    def failing() -> CheckResult:
        return CheckResult(False, "words", "more")

    assert None is first_failing([Check("flush", failing, sync=True)])
    assert "log words: more" == first_failing([Check("flush", failing, sync=True), Check("log", failing)])
