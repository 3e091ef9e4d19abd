"""What /metrics says is true: a row says what is done to a real cluster, and by how much each metric changes by that.

No counter falls while its node runs, and the buckets of histograms hold those below them.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from quorate.processes.node import NodeProcess
from quorate.processes.waiting import NeverHappened
from tests.system.watched_metrics import (
    ACCEPTED,
    REQUESTS,
    TIMEOUT_MS,
    VOTES,
    WINDOW,
    Changes,
    Key,
    Watched,
    of_disk,
    process_began_s,
    size_of,
    wait_for_changes,
    watched,
    watched_by_all,
)

__all__ = ["watched", "watched_by_all"]

ARRAY = 100

IDS = [f"v{number}" for number in range(7)]


def array(watched: Watched) -> None:
    votes = [{"option": "sad", "poll": "mood", "id": f"a{number}"} for number in range(ARRAY)]
    watched.ask(watched.leader, "POST", "/votes", votes)


def open_producer(watched: Watched) -> None:
    watched.ask(watched.leader, "POST", "/producers", {"producer": "p1"})


def forget_producer(watched: Watched) -> None:
    watched.ask(watched.leader, "DELETE", "/producers/p1")


def make_and_archive(watched: Watched) -> None:
    watched.ask(watched.leader, "POST", "/polls", {"id": "gone", "options": ["a", "b", "c"]}, 201)
    for state in ("closed", "archived"):
        watched.ask(watched.leader, "POST", "/polls/gone/state", {"state": state})


def speak_nonsense(watched: Watched) -> None:
    with socket.create_connection((watched.leader.place.http.host, watched.leader.port), timeout=10) as sock:
        sock.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        while sock.recv(4096):
            pass


def ask_for_what_is_not_there(watched: Watched) -> None:
    for number in range(20):
        watched.ask(watched.leader, "GET", f"/no/such/{number}\x22%7D%0A", expect=404)


def ask_of_many_polls(watched: Watched) -> None:
    for number in range(20):
        watched.ask(watched.leader, "GET", f"/polls/none-{number}/results", expect=404)


def ask_by_strange_methods(watched: Watched) -> None:
    for number in range(5):
        watched.ask(watched.leader, ("PATCH", "DELETE", "PUT", "PROPFIND", "LOCK")[number], "/votes", expect=405)


def put_by_hand(watched: Watched) -> None:
    poll = ("by-hand", "By hand", json.dumps(["x", "y"]), json.dumps({"x": 3, "y": 4}))
    with closing(sqlite3.connect(watched.cluster.sqlite, timeout=10)) as db, db:
        db.execute("insert into polls (id, title, options, results) values (?, ?, ?, ?)", poll)


def edit_by_hand(watched: Watched) -> None:
    with closing(sqlite3.connect(watched.cluster.sqlite, timeout=10)) as db, db:
        db.execute("update polls set results = ? where id = 'mood'", (json.dumps({"happy": 0, "sad": 0}),))
    watched.vote(watched.leader, "after-the-edit")


DURATION = "quorate_http_request_duration_seconds_count"
ROWS: dict[str, tuple[Callable[[Watched], object], Changes]] = {
    "votes through the leader": (
        lambda on: on.vote(on.leader, *IDS),
        {
            ("leader", VOTES, "applied"): 7,
            ("sum", VOTES, "applied"): 7,
            ("leader", REQUESTS, "/votes", "200"): 7,
            ("leader", DURATION, "/votes"): 7,
            ("each", ACCEPTED): 7,
            ("each", "quorate_dedup_held_ids"): 7,
            ("each", "quorate_state_version"): 7,
            ("each", "quorate_raft_applied_index"): 7,
            ("each", "quorate_raft_apply_seconds_count"): 7,
            ("leader", "quorate_raft_commit_seconds_count"): 7,
            ("sum", "quorate_raft_commit_seconds_count"): 7,
            ("leader", "quorate_raft_entry_bytes_count"): 7,
            ("leader", "quorate_submit_batch_requests_sum"): 7,
            ("leader", "quorate_submit_batch_requests_count"): 7,
            ("sum", "quorate_sink_documents_total", "edited", "sqlite"): 0,
        },
    ),
    "the same votes again": (
        lambda on: on.vote(on.leader, *IDS),
        {
            ("sum", VOTES, "applied"): 0,
            ("leader", VOTES, "duplicate"): 7,
            ("each", ACCEPTED): 0,
            ("sum", REQUESTS, "/votes", "200"): 7,
        },
    ),
    "votes through a follower": (
        lambda on: on.vote(on.follower, *(f"f{number}" for number in range(5))),
        {
            ("follower", VOTES, "applied"): 5,
            ("leader", VOTES, "applied"): 0,
            ("follower", REQUESTS, "/votes", "200"): 5,
            ("follower", "quorate_submit_batch_requests_sum"): 5,
            ("leader", "quorate_raft_commit_seconds_count"): 5,
            ("follower", "quorate_raft_commit_seconds_count"): 0,
            ("each", ACCEPTED): 5,
        },
    ),
    "an array of votes": (
        array,
        {
            ("leader", VOTES, "applied"): ARRAY,
            ("leader", REQUESTS, "/votes", "200"): 1,
            ("leader", "quorate_submit_batch_requests_sum"): 1,
            ("leader", "quorate_raft_entry_bytes_count"): 1,
            ("each", ACCEPTED): ARRAY,
            ("each", "quorate_state_version"): 1,
        },
    ),
    "a vote for no option": (
        lambda on: on.vote(on.leader, "u1", option="angry", expect=404),
        {("leader", VOTES, "unknown_option"): 1, ("leader", REQUESTS, "/votes", "404"): 1, ("each", ACCEPTED): 0},
    ),
    "a vote for no poll": (
        lambda on: on.vote(on.leader, "u2", poll="none", expect=404),
        {("leader", VOTES, "unknown_poll"): 1, ("leader", REQUESTS, "/votes", "404"): 1},
    ),
    "a vote for a closed poll": (
        lambda on: on.vote(on.follower, "u3", option="yes", poll="over", expect=410),
        {("follower", VOTES, "closed"): 1, ("follower", REQUESTS, "/votes", "410"): 1, ("sum", VOTES, "applied"): 0},
    ),
    "another choice under an id": (
        lambda on: on.vote(on.leader, IDS[0], option="sad", expect=409),
        {("leader", VOTES, "conflict"): 1, ("leader", REQUESTS, "/votes", "409"): 1},
    ),
    "a vote that is none": (
        lambda on: on.ask(on.leader, "POST", "/votes", {"choice": "happy"}, 400),
        {("leader", REQUESTS, "/votes", "400"): 1, ("sum", VOTES, "applied"): 0},
    ),
    "paths that do not exist": (
        ask_for_what_is_not_there,
        {("leader", REQUESTS, "other", "404"): 20, ("leader", DURATION, "other"): 20},
    ),
    "polls that do not exist": (ask_of_many_polls, {("leader", REQUESTS, "/polls/{id}/results", "404"): 20}),
    "methods that do not exist": (ask_by_strange_methods, {("leader", REQUESTS, "/votes", "405"): 5}),
    "what is not HTTP": (
        speak_nonsense,
        {("leader", "quorate_http_unreadable_total"): 1, ("follower", "quorate_http_unreadable_total"): 0},
    ),
    "a poll that is made": (
        make_and_archive,
        {
            ("each", "quorate_state_polls"): 1,
            ("each", "quorate_state_options"): 3,
            ("leader", REQUESTS, "/polls", "201"): 1,
            ("leader", REQUESTS, "/polls/{id}/state", "200"): 2,
        },
    ),
    "a poll that is deleted": (
        lambda on: on.ask(on.follower, "DELETE", "/polls/gone"),
        {
            ("each", "quorate_state_polls"): -1,
            ("each", "quorate_state_options"): -3,
            ("each", "quorate_state_deleted_polls"): 1,
            ("follower", REQUESTS, "/polls/{id}", "200"): 1,
        },
    ),
    "a producer that begins": (open_producer, {("each", "quorate_state_producers"): 1}),
    "a producer that is forgotten": (
        forget_producer,
        {("each", "quorate_state_producers"): -1, ("each", "quorate_state_forgotten_producers"): 1},
    ),
    "a poll that is put into the sink by hand": (
        put_by_hand,
        {("each", "quorate_state_polls"): 1, ("leader", "quorate_sink_imported_total", "sqlite"): 1},
    ),
    "a document that is edited by hand": (
        edit_by_hand,
        {("leader", "quorate_sink_documents_total", "edited", "sqlite"): 1, ("sum", VOTES, "applied"): 1},
    ),
}


@pytest.mark.parametrize("what", ROWS)
def test_a_metric_changes_by_what_was_done(what: str, watched: Watched) -> None:
    do, wanted = ROWS[what]
    before = watched.at_rest()
    do(watched)
    wait_for_changes(watched, before, wanted)


# ---- what is so now -------------------------------------------------------------------------------------------------

Truth = Callable[[NodeProcess], float]


GAUGES: dict[Key, Truth] = {
    ("quorate_ready",): lambda node: node.is_ready(),
    ("quorate_raft_is_leader",): lambda node: node.leads(),
    ("quorate_raft_has_leader",): lambda node: node.get("/leader") is not None,
    ("quorate_raft_role", "leader"): lambda node: node.leads(),
    ("quorate_raft_role", "follower"): lambda node: not node.leads(),
    ("quorate_raft_is_voter",): lambda _: 1,
    ("quorate_raft_members", "voter"): lambda _: 3,
    ("quorate_raft_members", "learner"): lambda _: 0,
    ("quorate_raft_term",): lambda node: node.get("/leader")["term"],
    ("quorate_raft_election_timeout_seconds",): lambda node: TIMEOUT_MS / 1000,
    ("quorate_raft_log_bytes",): lambda node: size_of(node, "log-*.seg"),
    ("quorate_raft_snapshot_bytes",): lambda _: 0,
    ("quorate_raft_lag_entries",): lambda _: 0,
    ("quorate_raft_other_histories",): lambda _: 0,
    ("quorate_raft_disk_forgotten",): lambda _: 0,
    ("quorate_raft_stranger",): lambda _: 0,
    ("quorate_history_recording",): lambda _: 1,
    ("quorate_history_file_bytes",): lambda node: size_of(node, "history.db*"),
    ("quorate_disk_size_bytes",): lambda node: of_disk(node, "f_blocks"),
    ("quorate_state_polls",): lambda node: len(node.get("/polls")["polls"]),
    ("quorate_state_options",): lambda node: sum(len(poll["options"]) for poll in node.get("/polls")["polls"]),
    ("quorate_dedup_window_ids",): lambda _: WINDOW,
    ("quorate_http_event_streams",): lambda _: 0,
    ("quorate_submit_waiting_bytes",): lambda _: 0,
    ("quorate_submit_waiting_limit_bytes",): lambda node: node.get("/status")["config"]["votes"]["queue_bytes"],
    ("quorate_sink_caught_up", "sqlite"): lambda _: 1,
    ("quorate_sink_phase", "flushing", "sqlite"): lambda node: node.leads(),
    ("quorate_sink_phase", "idle", "sqlite"): lambda node: not node.leads(),
    ("process_open_fds",): lambda node: (
        len(os.listdir(f"/proc/{node.pid}/fd")) + 2
    ),  # the scrape's own, and this listing
    ("process_start_time_seconds",): process_began_s,
}


@pytest.mark.parametrize("metric", GAUGES, ids=" ".join)
def test_a_gauge_is_what_the_node_is(metric: Key, watched: Watched) -> None:
    def is_true(node: NodeProcess) -> bool:
        seen = watched.scrape(node)[metric]
        shown[node.id] = (seen, GAUGES[metric](node))
        return abs(seen - shown[node.id][1]) < 0.02

    shown: dict[str, tuple[float, float]] = {}
    for node in watched.cluster.nodes:
        try:
            watched.cluster.wait_for("the gauge is true", partial(is_true, node), deadline_s=10)
        except NeverHappened:
            pytest.fail(f"(shown, true): {shown}")


def test_all_nodes_have_the_same_log_at_rest(watched: Watched) -> None:
    watched.at_rest()


def test_open_connections_and_streams_are_counted(watched: Watched) -> None:
    node = watched.follower
    gauge = ("quorate_http_connections",)
    watched.cluster.wait_for("connections of before are closed", lambda: 0 == watched.scrape(node)[gauge])
    before = watched.all()
    open_ones = [socket.create_connection((node.place.http.host, node.port), timeout=10) for _ in range(5)]
    for sock in open_ones[:2]:
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    streams, connections = ("follower", "quorate_http_event_streams"), ("follower", "quorate_http_connections")
    wait_for_changes(watched, before, {streams: 2, connections: 5})
    for sock in open_ones:
        sock.close()
    wait_for_changes(watched, before, {streams: 0, connections: 0})


def test_a_scrape_has_as_many_samples_whatever_clients_ask_for(watched: Watched) -> None:
    """Names of polls, paths, methods and ids that clients make up are in no label."""
    node = watched.leader
    ask_for_what_is_not_there(watched)
    ask_of_many_polls(watched)
    ask_by_strange_methods(watched)
    before = set(watched.scrape(node))
    for number in range(100):
        node.ask("GET", f"/made/up/{number}")
        node.ask("GET", f"/polls/made-up-{number}")
        node.ask("POST", f"/polls/made-up-{number}/state", b'{"state":"open"}')
        node.ask("DELETE", f"/producers/made-up-{number}")
        watched.vote(node, f"made-up-{number}", option=f"made up {number}", expect=404)
    after = set(watched.scrape(node))
    assert len(after - before) < 60, "a histogram each of three routes, and what they answered"
    text = node.ask("GET", "/metrics")[1]
    assert b"made" not in text
