"""What `quorate status` says of a node's state, in each phase of a failover."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.cli.status_words import status_words

MEMBERS = {"n1": "voter", "n2": "voter", "n3": "voter"}


def status(role: str, leader: str | None, *opened: str, **raft: Any) -> dict[str, Any]:
    links = {id: {"open": id in opened, "heard_ms_ago": 2_400, "refused": ""} for id in ("n2", "n3")}
    base = {"role": role, "term": 3, "leader": leader, "members": MEMBERS, "links": links, "election_timeout_ms": 500}
    return {"node": "n1", "raft": {**base, **raft}, "config": {"http": {"timeout_ms": 5_000}}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            status("follower", "n3", "n2", "n3"),
            ["n3 leads in term 3, and votes count. n1 follows it and has all that it knows to be committed."],
        ),
        (
            status("follower", "n2", "n2", lag_entries=1_200),
            [
                "n2 leads in term 3, and votes count. n1 follows it and is 1,200 entries behind.",
                "n3 (voter) is not connected and was not heard for 2.4 s; is it up?",
            ],
        ),
        (
            status("leader", "n1", "n3"),
            [
                "n1 leads in term 3, and votes count: 2 of 3 voters are connected.",
                "n2 (voter) is not connected and was not heard for 2.4 s; is it up?",
            ],
        ),
        (
            status("candidate", None, "n2", leader_heard_ms_ago=267),
            [
                "n1 stands for election (term 3) and heard of no leader for 0.3 s. With a majority up, an election "
                "mostly ends within 1 s. Votes that come now wait, for 5 s at most, and are then refused (503, surely "
                "not counted).",
                "n3 (voter) is not connected and was not heard for 2.4 s; is it up?",
            ],
        ),
        (
            status("follower", None, "n2", "n3"),
            [
                "n1 knows no leader (term 3). With a majority up, an election mostly ends within 1 s. Votes that come "
                "now wait, for 5 s at most, and are then refused (503, surely not counted)."
            ],
        ),
        (
            status("follower", "n3", "n3", forgotten="it is new", members={**MEMBERS, "n2": "learner"}),
            [
                "n3 leads in term 3, and votes count. n1 follows it and has all that it knows to be committed.",
                "n2 (learner) is not connected and was not heard for 2.4 s; is it up?",
                "The disk of n1 lacks what it held before: quorate members replace n1",
            ],
        ),
        (
            status("leader", "n1", "n2", "n3", members={**MEMBERS, "n4": "learner", "n5": "learner"}),
            [
                "n1 leads in term 3, and votes count: 3 of 3 voters are connected.",
                "n4 (learner) is not connected; is it up?",
                "n5 (learner) is not connected; is it up?",
            ],
        ),
        (
            status("leader", "n1", "n2", "n3", other_histories={"n3": "entry 7"}),
            [
                "n1 leads in term 3, and votes count: 3 of 3 voters are connected.",
                "n3 has committed other entries than n1: one of them is a copy that went on alone. See doctor",
            ],
        ),
        (
            status("follower", "n3", "n2", leader_via="n2"),
            [
                "n3 leads in term 3. n1 does not hear it, and asks it by way of n2.",
                "n3 (voter) is not connected and was not heard for 2.4 s; is it up?",
            ],
        ),
    ],
)
def test_it_says_who_leads_and_who_is_missing(given: dict[str, Any], expected: list[str]) -> None:
    assert expected == status_words(given)


@pytest.mark.parametrize("role", ["follower", "candidate", "leader"])
def test_a_node_alone_says_that_votes_are_refused(role: str) -> None:
    first, *others = status_words(status(role, None))
    assert "n1 reaches 1 of 3 voters, itself included, and needs 2: it refuses votes" in first
    assert 2 == len(others)


def test_a_leader_that_has_gone_silent_is_not_called_well() -> None:
    [words] = status_words(status("follower", "n3", "n2", "n3", leader_heard_ms_ago=420))
    assert words.startswith("n3 led in term 3, and was not heard for 0.4 s.")


def test_why_a_peer_is_refused_is_told() -> None:
    given = status("leader", "n1", "n3")
    given["raft"]["links"]["n2"]["refused"] = "it has another key"
    assert "n2 (voter) is not connected and was not heard for 2.4 s: it has another key" in status_words(given)
    given["raft"]["links"]["n2"]["refused"] = "***"  # to a caller who may not know it
    assert "n2 (voter) is not connected and was not heard for 2.4 s; is it up?" in status_words(given)


def test_a_sink_that_fails_is_told_by_the_leader_alone() -> None:
    sinks = {"mongo": {"last_error": "connection refused", "caught_up": False}}
    words = "The sink mongo is behind, and is tried again: connection refused"
    assert words in status_words({**status("leader", "n1", "n2", "n3"), "sinks": sinks})
    assert words not in status_words({**status("follower", "n2", "n2", "n3"), "sinks": sinks})
    sinks["mongo"]["caught_up"] = True  # the error was before
    assert words not in status_words({**status("leader", "n1", "n2", "n3"), "sinks": sinks})


@pytest.mark.parametrize("given", [{}, {"node": "n1", "raft": {}}, {"node": "n1", "raft": {"role": "follower"}}])
def test_a_node_that_starts_says_nothing_yet(given: dict[str, Any]) -> None:
    assert [] == status_words(given)


@pytest.mark.parametrize(
    ("backups", "words"),
    [
        (None, []),
        ({"leads": True, "last_error": None, "failing_s": None}, []),
        ({"leads": False, "last_error": "x", "failing_s": 3.0}, []),
        (
            {"leads": True, "last_error": "no keys", "failing_s": 61.0, "last_age_s": 90_000.0},
            ["Backups fail since 61 s, and are tried again; the last one is 90,000 s old: no keys"],
        ),
        (
            {"leads": True, "last_error": "no keys", "failing_s": 1.0, "last_age_s": None},
            ["Backups fail since 1.0 s, and are tried again; there is none yet: no keys"],
        ),
        (
            {"leads": True, "last_error": "no right", "failing_s": None, "last_age_s": 3.0},
            ["The last backup is whole, and old ones stay: no right"],
        ),
    ],
)
def test_it_says_since_when_backups_fail_and_why(backups: dict[str, Any] | None, words: list[str]) -> None:
    found = status_words({**status("leader", "n1", "n2", "n3"), "backups": backups})
    assert words == found[1:]
