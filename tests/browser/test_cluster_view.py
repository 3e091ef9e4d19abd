"""The cluster view: what each node says, what is broken, since when and what to do; and what operators may change."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NODES_DIE, Pages
from tests.support.cluster import Cluster

REFUSED = ("status of 400", "status of 409")


def opened(pages: Pages, url: str, **more: Any) -> Page:
    page = pages.open(url, **more)
    page.get_by_text("The cluster in detail").click()
    return page


def test_each_node_and_sink_stands_there_with_its_numbers(cluster: Cluster, pages: Pages) -> None:
    leader = cluster.leader()
    page = opened(pages, cluster.nodes[0].url)
    row = page.locator("#cluster-nodes tbody tr").filter(has_text=leader.id).first
    expect(row.locator("td").first).to_have_text(re.compile("leader|follower"))
    expect(page.locator("#cluster-nodes tbody tr")).to_have_count(3)
    others = ", ".join(node.id for node in cluster.nodes if node is not leader)
    own = page.get_by_role("row", name=re.compile(f"^{leader.id} leader"))
    expect(own).to_contain_text(others)
    expect(page.locator("#cluster-sinks tbody tr")).to_contain_text(f"flushing, by {leader.id}")
    expect(page.locator("#cluster-sources")).to_be_hidden()
    expect(page.locator("#health")).to_have_text("all is well · 3 nodes answer")
    expect(page.locator("#troubles")).to_be_hidden()


def test_what_is_broken_is_said_with_since_when_and_what_to_do(cluster: Cluster, pages: Pages) -> None:
    here, dead = cluster.followers()
    page = opened(pages, here.url, expected=NODES_DIE)
    expect(page.locator("#health")).to_have_text("all is well · 3 nodes answer")
    dead.kill()
    trouble = page.locator("#troubles li")
    expect(trouble).to_have_count(1)
    expect(trouble.locator(".what")).to_have_text(f"{dead.id} does not answer the other nodes.")
    expect(trouble.locator(".since")).to_have_text(re.compile(r"^since \d"))
    expect(trouble.locator(".advice")).to_contain_text("Counting goes on, and stops if one more node fails.")
    expect(page.locator("#health")).to_have_text("1 thing is not as it should be")
    late = pages.open(here.url, expected=NODES_DIE)
    expect(late.locator("#troubles .since")).to_have_text("since before this page was opened")
    dead.start()
    expect(page.locator("#health")).to_have_text("all is well · 3 nodes answer")
    expect(page.locator("#troubles")).to_be_hidden()


def test_an_operator_hands_over_and_changes_the_members(cluster: Cluster, pages: Pages) -> None:
    leader = cluster.leader()
    page = opened(pages, cluster.nodes[0].url, expected=(*REFUSED, *NODES_DIE))
    page.get_by_role("button", name="Hand the leadership over").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Hand it over").click()
    expect(page.locator("#toast")).to_have_text(re.compile(r"^n\d leads now$"))
    expect(page.locator("#served")).to_contain_text("leads in term")
    expect(page.locator("#served")).not_to_contain_text(f"{leader.id} leads")
    page.get_by_role("button", name="Add a member").click()
    form = page.get_by_role("dialog", name="Add a member")
    form.get_by_label("Node id").fill("n9")
    form.get_by_label("Its address").fill("nonsense")
    form.get_by_role("button", name="Add it").click()
    expect(form.get_by_role("alert")).to_have_text("not done: 'nonsense' is not host:port, as 127.0.0.1:9001")
    form.get_by_label("Its address").fill("127.0.0.1:9")  # nobody listens there, so it stays a learner
    form.get_by_role("button", name="Add it").click()
    row = page.locator("#members tbody tr").filter(has_text="n9")
    expect(row).to_contain_text("learner")
    row.get_by_role("button", name="Replace: n9").click()
    expect(page.get_by_label("Node id")).to_have_value("n9")
    page.keyboard.press("Escape")
    row.get_by_role("button", name="Remove: n9").click()
    expect(page.locator("#sure-meaning")).to_contain_text("3 voters remain, of which 1 may fail.")
    page.get_by_role("alertdialog").get_by_role("button", name="Remove").click()
    expect(page.locator("#toast")).to_have_text("removed: n9")
    expect(row).to_have_count(0)


def node(id: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "reachable": True, "role": "follower", "log_index": 9, "lag": 0, **more}


def raft(**more: Any) -> dict[str, Any]:
    return {"raft": {"members": {"n1": "voter", "n2": "voter", "n3": "voter"}, **more}}


THREE = [node("n1", role="leader"), node("n2"), node("n3")]
AWAY = {"reachable": False, "log_index": None}
SINK = {"phase": "flushing", "last_error": None, "last_success_age_s": 7.5, "deviations": {"last": None}}


@pytest.fixture(scope="module")
def words(browser: Any, shared_cluster: Cluster) -> Any:
    """Asks the page's own rules: what they say of a cluster that is described to them."""
    page = browser.new_context().new_page()
    page.goto(shared_cluster.nodes[0].url)
    script = """async ({view, statuses}) =>
        (await import("/static/troubles.js")).troublesOf(view, new Map(Object.entries(statuses)))"""

    def ask(nodes: Any, statuses: Any, leader: str | None = "n1") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = page.evaluate(
            script, {"view": {"nodes": nodes, "leader": leader}, "statuses": statuses}
        )
        return found

    return ask


@pytest.mark.parametrize(
    ("nodes", "statuses", "said"),
    [
        (THREE, {"n1": raft(), "n2": raft()}, []),
        ([THREE[0], node("n2", log_index=9000), node("n3")], {}, []),
        (
            [node("n1", role="leader", log_index=9000), node("n2", log_index=9000), node("n3")],
            {},
            ["n3 is 8,991 entries behind."],
        ),
        (
            THREE,
            {"n1": raft(links={"n2": {"open": False}}), "n2": raft(links={"n1": {"open": False}})},
            ["n1 and n2 are not connected."],
        ),
        (
            [THREE[0], node("n2", **AWAY), node("n3")],
            {"n1": raft(links={"n2": {"open": False}})},
            ["n2 does not answer"],
        ),
        (
            THREE,
            {"n1": raft(links={"n3": {"open": False, "refused": "another key"}})},
            ["n1 and n3 refuse each other: another key."],
        ),
        (THREE, {"n1": raft(clock_offsets_ms={"n1": 0, "n2": -3000})}, ["The clock of n2 is 3 s late."]),
        (THREE, {"n2": raft(forgotten="it was replaced")}, ["The disk of n2 does not count: it was replaced."]),
        (THREE, {"n2": {"raft": {"role": "starting"}}}, ["n2 reads its log."]),
        (THREE, {"n2": raft(role="halted")}, ["n2 has stopped taking part."]),
        (THREE, {"n2": raft(stranger_to="c1")}, ["The disk of n2 is new to the cluster."]),
        (THREE, {"n2": raft(other_histories={"n3": "entry 7"})}, ["n2 and n3 have different histories: entry 7."]),
        (THREE, {"n2": raft(leader="n1", leader_via="n3")}, ["n2 reaches the leader over n3 only."]),
        (THREE, {"n2": raft(lag_ms=60_000)}, ["n2 has waited 60 s for an entry."]),
        (
            THREE,
            {"n1": {**raft(), "sinks": {"mongo": {**SINK, "deviations": {"last": "poll mood", "last_age_s": 3_599}}}}},
            ["What stood in mongo was not what had been written: poll mood."],
        ),
        (
            THREE,
            {"n1": {**raft(), "sinks": {"mongo": {**SINK, "deviations": {"last": "poll mood", "last_age_s": 3_601}}}}},
            [],
        ),
        (
            THREE,
            {"n2": {**raft(), "sources": {"nsq": {"connections": 1, "throttled": True}}}},
            ["n2 takes votes from nsq slowly."],
        ),
        (
            THREE,
            {"n2": {**raft(), "tls": {"files_good": False, "problem": "it is gone", "days_left": 90}}},
            ["n2 cannot take its certificate: it is gone."],
        ),
        (
            THREE,
            {"n2": {**raft(), "tls": {"files_good": True, "days_left": 2.5}}},
            ["The certificate of n2 ends in 2 days."],
        ),
        (
            THREE,
            {"n2": {**raft(), "consul": {"registered": False, "detail": "no answer"}}},
            ["n2 is not registered in Consul: no answer."],
        ),
        (THREE, {"n1": {**raft(), "sinks": {"mongo": SINK}}}, []),
        (
            THREE,
            {"n1": {**raft(), "sinks": {"mongo": {**SINK, "phase": "retrying", "last_error": "it is down"}}}},
            ["Nothing is written to mongo: it is down."],
        ),
        (
            THREE,
            {"n1": {**raft(), "sinks": {"mongo": {**SINK, "phase": "foreign", "last_error": "***"}}}},
            ["Nothing is written to mongo."],
        ),
        (
            THREE,
            {"n2": {**raft(), "sources": {"nsq": {"connections": 0, "last_error": "refused"}}}},
            ["n2 takes no votes from nsq: it is connected to none of its servers: refused."],
        ),
        (
            THREE,
            {"n3": {**raft(), "auth": {"file_good": False, "problem": "it is missing"}}},
            ["n3 cannot take its file of tokens: it is missing."],
        ),
        (
            THREE,
            {"n1": {**raft(), "state": {"polls": 9500}, "limits": {"polls": 10000}}},
            ["9,500 of 10,000 polls are used."],
        ),
    ],
)
def test_the_rules_name_what_is_broken_and_nothing_else(words: Any, nodes: Any, statuses: Any, said: list[str]) -> None:
    found = words(nodes, statuses)
    assert len(said) == len(found)
    for begin, trouble in zip(said, found, strict=True):
        assert trouble["words"].startswith(begin)
        assert trouble["advice"].endswith(".")


def test_without_a_leader_it_is_said_how_many_are_missing(words: Any) -> None:
    nodes = [node("n1"), node("n2", **AWAY), node("n3", **AWAY)]
    found = words(nodes, {"n1": raft(leader_heard_ms_ago=4000)}, None)
    assert ["leader", "away n2", "away n3"] == [trouble["key"] for trouble in found]
    assert "No node leads, so nothing is counted." == found[0]["words"]
    assert "2 of 3 voters must be up and connected" in found[0]["advice"]
    assert 4 == found[0]["ageS"]


def test_since_when_a_document_was_edited_is_said_by_the_node_and_not_by_the_page(words: Any) -> None:
    edited = {"n1": {**raft(), "sinks": {"mongo": {**SINK, "deviations": {"last": "poll mood", "last_age_s": 60}}}}}
    assert 60 == words(THREE, edited)[0]["ageS"]
