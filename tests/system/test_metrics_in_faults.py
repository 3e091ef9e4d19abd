"""What /metrics says while nodes die, stand still and take over. No counter falls while its node runs."""

from __future__ import annotations

import pytest

from tests.system.watched_metrics import ACCEPTED, REQUESTS, VOTES, Watched, wait_for_changes, watched, watched_by_all

__all__ = ["watched", "watched_by_all"]


def test_a_follower_that_dies_is_seen_and_no_counter_falls(watched: Watched) -> None:
    follower = watched.follower
    others = [node for node in watched.cluster.nodes if node is not follower]
    watched.all()
    follower.kill()

    def is_open(value: float) -> bool:
        return all(value == watched.scrape(node)[("quorate_raft_peer_open", follower.id)] for node in others)

    watched.cluster.wait_for("the others miss it", lambda: is_open(0))
    follower.start()
    watched.cluster.wait_for("the others have it again", lambda: is_open(1))
    watched.cluster.wait_whole()
    watched.all()


def test_a_handover_is_one_change_of_leader(watched: Watched) -> None:
    before = watched.at_rest()
    watched.ask(watched.leader, "POST", "/leader/transfer")
    watched.leader = watched.cluster.leader(other_than=watched.leader)
    wait_for_changes(
        watched,
        before,
        {
            ("each", "quorate_raft_leader_changes_total"): 1,
            ("each", "quorate_raft_term"): 1,
            ("sum", "quorate_raft_elections_total"): 1,
            ("leader", "quorate_raft_elections_total"): 1,
            ("sum", "quorate_raft_is_leader"): 0,
        },
    )


def test_a_leader_that_dies_is_replaced(watched: Watched) -> None:
    victim = watched.leader
    before = watched.all()
    victim.kill()
    watched.leader = watched.cluster.leader(other_than=victim)
    watched.vote(watched.leader, "after-the-leader")
    now = watched.all()
    assert victim.id not in now
    grown = {
        id: {
            name: found[(f"quorate_raft_{name}_total",)] - before[id][(f"quorate_raft_{name}_total",)]
            for name in ("elections", "leader_changes", "leaderless_seconds")
        }
        for id, found in now.items()
    }
    assert grown[watched.leader.id]["elections"] >= 1
    assert all(each["leader_changes"] >= 1 and 0 < each["leaderless_seconds"] < 20 for each in grown.values()), grown
    assert 1 == sum(found[("quorate_raft_is_leader",)] for found in now.values())
    victim.start()
    watched.cluster.wait_whole()
    again = watched.scrape(victim)
    assert 0 == again[("quorate_votes_total", "applied")], "a process that begins counts from nothing"
    watched.all()


def test_a_paused_node_answers_no_scrape_and_the_others_say_how_long_it_is_silent(watched: Watched) -> None:
    follower = watched.follower
    before = watched.at_rest()
    follower.pause()
    try:
        silent = ("quorate_raft_peer_heard_seconds", follower.id)
        watched.cluster.wait_for(
            "the leader has not heard it for 3 s", lambda: watched.scrape(watched.leader)[silent] > 3
        )
        with pytest.raises(TimeoutError):
            follower.ask("GET", "/metrics", timeout_s=0.5)
        watched.vote(watched.leader, "while-it-is-paused")
    finally:
        follower.resume()
    watched.cluster.wait_whole()
    wait_for_changes(watched, before, {("each", ACCEPTED): 1, ("sum", VOTES, "applied"): 1})


def test_a_node_that_is_left_alone_says_that_nobody_leads(watched: Watched) -> None:
    alone, *others = watched.cluster.nodes
    for node in others:
        node.kill()
    has, leads, ready = (("quorate_raft_has_leader",), ("quorate_raft_is_leader",), ("quorate_ready",))
    silent = ("quorate_raft_leaderless_seconds_total",)
    watched.cluster.wait_for("it knows no leader", lambda: 0 == watched.scrape(alone)[has])
    before = watched.scrape(alone)
    assert (0, 0) == (before[leads], before[ready])
    watched.vote(alone, "nobody-counts-it", expect=503)
    watched.cluster.wait_for("the time without a leader grows", lambda: watched.scrape(alone)[silent] > before[silent])
    after = watched.scrape(alone)
    refused = (REQUESTS, "/votes", "503")
    assert 1 == after[refused] - before.get(refused, 0)
    assert before.get((VOTES, "applied"), 0) == after[(VOTES, "applied")]
    watched.cluster.start()
    watched.cluster.wait_whole()
    now = watched.scrape(alone)
    assert (1, 1) == (now[has], now[ready])
