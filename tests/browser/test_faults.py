"""While nodes die, the page shows what it knows and how old that is, and recovers by itself."""

from __future__ import annotations

import re
import shutil
from typing import Any

from playwright.sync_api import APIResponse, Route, expect

from quorate.processes.node import NodeProcess
from tests.browser.conftest import NODES_DIE, Pages
from tests.browser.polls import Polls, card, counts, option
from tests.support.cluster import Cluster
from tests.support.newcomer import newcomer_of
from tests.support.waiting import wait_for

ONLY_SHORT_DEADLINES = """
    const within = AbortSignal.timeout.bind(AbortSignal);
    AbortSignal.timeout = (ms) => (ms > 5_000 ? new AbortController().signal : within(ms));
"""  # so a vote does not wait for its own
LOST = "this node does not answer; trying again"


def test_a_killed_leader_is_shown_and_counting_goes_on(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    leader, (here, other) = cluster.leader(), cluster.followers()
    page = pages.open(here.url, expected=NODES_DIE)
    expect(page.locator("#served")).to_contain_text(f"answered by {here.id} · {leader.id} leads in term ")
    leader.kill()
    node = page.locator("#nodes li").filter(has_text=leader.id)
    expect(node.locator(".role")).to_have_text("not reachable")
    expect(page.locator("#served")).not_to_contain_text(f"{leader.id} leads")
    expect(page.locator("#served")).to_contain_text("leads in term")
    polls.vote(mood, "happy", at=other)
    option(page, mood, "sad").get_by_role("button").click()
    expect(counts(page, mood)).to_have_text(["1", "1"])
    leader.start()
    expect(node.locator(".role")).to_have_text("follower")


def test_a_click_while_the_leader_dies_counts_once(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    leader, (here, other) = cluster.leader(), cluster.followers()
    page = pages.open(here.url, expected=NODES_DIE)
    expect(counts(page, mood)).to_have_text(["0", "0"])
    leader.kill()
    option(page, mood, "happy").get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("counted: happy")
    assert {"happy": 1, "sad": 0} == polls.results(mood, other)
    expect(counts(page, mood)).to_have_text(["1", "0"])


def test_a_page_whose_own_node_died_goes_on_at_another_and_returns(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    mood = polls.make(["happy", "sad"])
    here, other, third = cluster.nodes
    page = pages.open(here.url, expected=NODES_DIE)
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#served")).to_contain_text("answered by")  # it knows the others by now
    page.get_by_role("button", name="New poll").click()
    page.get_by_role("dialog", name="New poll").get_by_label("Title").fill("half written")
    here.kill()
    expect(page.locator("#moved-words")).to_contain_text(f"{here.id}, which served this page, has not answered since")
    expect(page.locator("#moved-words")).to_contain_text(re.compile(f"goes on at ({other.id}|{third.id}), and returns"))
    expect(page.get_by_label("Title")).to_have_value("half written")  # it was not loaded anew
    page.keyboard.press("Escape")
    own = page.locator("#nodes li").filter(has_text=here.id)
    expect(own).to_have_class("away")
    expect(own).to_contain_text(re.compile("not reachable.*since"))
    polls.vote(mood, "sad", 3, at=other)
    expect(counts(page, mood)).to_have_text(["0", "3"])
    option(page, mood, "happy").get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("counted: happy")
    expect(page.locator("#lines code").first).not_to_contain_text(here.url)
    here.start()
    expect(page.locator("#moved")).to_be_hidden()
    expect(page.locator("#link")).to_have_text("live")
    expect(counts(page, mood)).to_have_text(["1", "3"])
    expect(page.locator("#served")).to_contain_text(f"answered by {here.id} ")
    expect(own.locator(".role")).to_have_text(re.compile("leader|follower"))


def test_a_node_that_stands_still_is_left_and_a_click_counts_once(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    """The connections of a paused node stay open, so only a deadline shows it. A vote that was sent to it is sent to
    the next one, with its id."""
    mood = polls.make(["happy", "sad"])
    here, other = cluster.followers()
    page = pages.open("about:blank", expected=NODES_DIE)
    page.add_init_script(ONLY_SHORT_DEADLINES)
    page.goto(here.url)
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#served")).to_contain_text("answered by")
    here.pause()
    try:
        option(page, mood, "happy").get_by_role("button").click()
        polls.vote(mood, "sad", at=other)
        expect(page.locator("#moved-words")).to_contain_text(f"{here.id}, which served this page, has not answered")
        expect(page.locator("#toast")).to_have_text("counted: happy")
        expect(counts(page, mood)).to_have_text(["1", "1"])
    finally:
        here.resume()
    expect(page.locator("#moved")).to_be_hidden()
    expect(page.locator("#link")).to_have_text("live")
    assert {"happy": 1, "sad": 1} == polls.results(mood, other)


def test_a_node_that_knows_no_leader_is_left_after_a_while(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    """As one that is cut off from the others, and answers the reader: there no vote would be counted."""
    mood = polls.make(["happy", "sad"])
    here = cluster.followers()[0]
    page = pages.open("about:blank", expected=NODES_DIE)
    page.clock.install()
    # This deadline runs in real time, and the answers of this test may take longer on a busy machine.
    page.add_init_script("AbortSignal.timeout = () => new AbortController().signal")

    def without_leader(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "leader": None})

    page.goto(here.url)
    expect(page.locator("#served")).to_contain_text("leads in term")
    page.route(f"{here.url}/readyz", lambda route: route.fulfill(status=503, body="[-] leader none known"))
    page.route(f"{here.url}/nodes", without_leader)
    page.clock.run_for(3_000)  # it looks, and is patient
    expect(page.locator("#served")).to_have_text(f"answered by {here.id} · no leader is known, so nothing is counted")
    expect(page.locator("#moved")).to_be_hidden()
    page.clock.run_for(12_000)
    expect(page.locator("#moved-words")).to_contain_text(
        f"{here.id}, which served this page, has known no leader since"
    )
    option(page, mood, "happy").get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("counted: happy")
    page.unroute(f"{here.url}/readyz")
    page.unroute(f"{here.url}/nodes")
    page.clock.run_for(10_000)
    expect(page.locator("#moved")).to_be_hidden()
    expect(page.locator("#served")).to_contain_text(f"answered by {here.id} ")


def test_where_no_node_answers_none_is_shown_as_well(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    here, *others = cluster.nodes
    # A node that has just started does not know yet where the page's own node serves HTTP.
    page = pages.open(here.url, expected=(*NODES_DIE, "status of 403", "CORS policy"))
    expect(counts(page, mood)).to_have_text(["0", "0"])
    expect(page.locator("#served")).to_contain_text("answered by")
    for node in cluster.nodes:
        node.kill()
    expect(page.locator("#link")).to_have_text(LOST)
    expect(page.locator("#moved-words")).to_contain_text("None of the nodes that this page knows is ready")
    expect(page.locator("#served")).to_contain_text("as they were last seen")
    expect(page.locator("#nodes li.leader")).to_have_count(0)
    expect(page.locator("#nodes li.away")).to_have_count(1)
    expect(page.locator("#nodes li.unknown")).to_have_count(len(others))
    for node in cluster.nodes:
        node.start()
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#nodes li.leader")).to_have_count(1)
    expect(page.locator("#moved")).to_be_hidden()


def test_without_a_majority_the_page_says_that_nothing_counts(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    here, *others = cluster.nodes
    page = pages.open(here.url, expected=NODES_DIE)
    expect(counts(page, mood)).to_have_text(["0", "0"])
    for node in others:
        node.kill()
    expect(page.locator("#served")).to_have_text(f"answered by {here.id} · no leader is known, so nothing is counted")
    option(page, mood, "happy").get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("no answer yet, trying again: happy")
    for node in others:
        node.start()
    expect(page.locator("#served")).to_contain_text("leads in term")
    option(page, mood, "sad").get_by_role(
        "button"
    ).click()  # the page may have said by now that it gave the first click up
    expect(option(page, mood, "sad").locator(".count")).to_have_text("1")


def test_a_definition_that_could_not_be_had_is_asked_for_again(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    """The field for a written option depends on the definition of the poll."""
    page = pages.open(cluster.nodes[0].url, expected=NODES_DIE)
    expect(page.locator("#link")).to_have_text("live")
    refused: set[str] = set()

    def refuse_once(route: Route) -> None:
        if route.request.url in refused:
            route.continue_()
        else:
            refused.add(route.request.url)
            route.fulfill(status=503, content_type="application/problem+json", body="{}")

    page.route("**/polls/*level=none", refuse_once)
    free = polls.make(["yes"], write_ins=True)
    expect(card(page, free).get_by_label("Another option")).to_be_visible()
    assert [url for url in refused if free in url]


def test_a_definition_that_is_refused_is_asked_for_no_oftener_because_votes_come(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    """Else a node that is too busy would be asked the more, the more it has to do."""
    mood = polls.make(["happy", "sad"])
    page = pages.open("about:blank", expected=("status of 429",))
    page.clock.install()
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=429, content_type="application/problem+json", body="{}")

    page.route(f"**/polls/{mood}?level=none", refuse)
    page.goto(cluster.nodes[0].url)
    expect(counts(page, mood)).to_have_text(["0", "0"])
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 1"))
    asked.clear()
    passed_ms = 0
    for votes in range(1, 13):
        polls.vote(mood, "happy")
        while counts(page, mood).first.text_content() != str(votes):
            page.clock.run_for(20)
            passed_ms += 20
    assert len(asked) <= 1 + passed_ms / 2_000


def test_the_page_goes_on_when_the_readers_clock_is_set_back(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    """A vote that is refused is given up, and the members are asked for again."""
    mood = polls.make(["happy", "sad"])
    page = pages.open("about:blank", expected=("status of 503",))
    page.clock.install()
    page.route("**/votes", lambda route: route.fulfill(status=503, json={"definite": True, "detail": "it is busy"}))
    page.goto(cluster.nodes[0].url)
    page.get_by_text("The cluster in detail").click()
    expect(page.locator("#members tbody tr")).to_have_count(3)
    option(page, mood, "happy").get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("no answer yet, trying again: happy")
    page.clock.set_system_time(page.evaluate("Date.now() / 1000 - 3_600"))
    with page.expect_response("**/members"):
        page.clock.run_for(6_000)

    def is_given_up() -> bool:
        page.clock.run_for(1_000)
        return "trying again" not in (page.locator("#toast").text_content() or "")

    wait_for("the vote is given up", is_given_up)
    expect(page.locator("#toast")).to_have_text("not counted: it is busy")


def test_the_page_goes_on_at_a_member_that_joined_while_it_was_open(alone: Cluster, pages: Pages) -> None:
    """The policy that the page was loaded with does not name it."""
    mood = Polls(alone, "p").make(["happy", "sad"])
    first = alone.nodes[0]
    page = pages.open(first.url, expected=NODES_DIE)
    expect(counts(page, mood)).to_have_text(["0", "0"])
    for name in ("n2", "n3"):
        join(alone, name)
    members = [{"id": name, "voter": True} for name in ("n1", "n2", "n3")]

    def seen() -> list[dict[str, Any]]:
        return [{"id": one["id"], "voter": one["voter"]} for one in first.get("/members")["members"]]

    alone.wait_for("all vote", lambda: members == seen() or None)
    alone.wait_whole()
    expect(page.locator("#nodes li")).to_have_count(3)
    page.get_by_text("The cluster in detail").click()  # it asks the new ones what they say of themselves
    expect(page.locator("#health")).to_have_text("all is well · 3 nodes answer")
    first.kill()
    expect(page.locator("#moved-words")).to_contain_text(re.compile("goes on at n[23], and returns"))
    expect(page.locator("#link")).to_have_text("live")
    option(page, mood, "happy").get_by_role("button").click()
    expect(counts(page, mood)).to_have_text(["1", "0"])
    first.start()
    expect(page.locator("#moved")).to_be_hidden()
    expect(page.locator("#served")).to_contain_text("answered by n1")


def join(cluster: Cluster, name: str) -> NodeProcess:
    joining = newcomer_of(cluster, name)
    cluster.nodes.append(joining)
    joining.start()
    with cluster.client(timeout_s=30) as client:
        client.change_members("add", name, joining.settings["raft.listen"])
    return joining


def test_a_member_that_is_asked_while_another_joins_has_its_answer_heard(alone: Cluster, pages: Pages) -> None:
    """It is asked through a frame, in whose place the joining puts another one."""
    page = pages.open(alone.nodes[0].url, expected=NODES_DIE)
    held: list[Route] = []
    second = join(alone, "n2")
    page.route(f"{second.url}/status", lambda route: route.continue_() if held else held.append(route))
    page.get_by_text("The cluster in detail").click()

    def is_held() -> bool:
        page.wait_for_timeout(20)  # the driver tells of requests meanwhile
        return bool(held)

    wait_for("n2 is asked", is_held)
    with page.expect_response("**/static/others.html?*"):
        join(alone, "n3")
    page.frames[-1].wait_for_load_state()
    held[0].continue_()
    expect(page.locator("#health")).to_have_text("all is well · 3 nodes answer")


def test_the_page_shows_a_new_cluster_at_the_old_address(alone: Cluster, pages: Pages) -> None:
    """Versions begin anew with an empty disk, and what has a lower one is else held to be older."""
    polls, node = Polls(alone, "p"), alone.nodes[0]
    gone, kept = polls.make(["happy", "sad"]), polls.make(["yes", "no"])
    for _ in range(9):
        polls.vote(kept, "yes")
    page = pages.open(node.url, expected=(*NODES_DIE, "status of 404"))
    expect(counts(page, kept)).to_have_text(["9", "0"])
    node.kill()
    shutil.rmtree(node.place.folder)
    node.start()
    alone.wait_ready()
    polls.make(["yes", "no"], id=kept)
    expect(counts(page, kept)).to_have_text(["0", "0"])
    option(page, kept, "no").get_by_role("button").click()
    expect(counts(page, kept)).to_have_text(["0", "1"])
    expect(card(page, gone)).to_have_count(0)


def test_a_cluster_that_counts_while_it_says_where_it_is_stays_the_same(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    """What the nodes say of themselves is older than the votes that the page hears of until it has their answer."""
    mood = polls.make(["happy", "sad"])
    page = pages.open("about:blank")
    waiting: list[tuple[Route, APIResponse]] = []
    page.route("**/nodes", lambda route: waiting.append((route, route.fetch())))
    page.goto(cluster.nodes[0].url)
    for votes in range(1, 7):
        wait_for("it is asked", lambda: page.evaluate("1") and waiting)
        polls.vote(mood, "happy")
        expect(counts(page, mood)).to_have_text([str(votes), "0"])
        if votes == 1:
            card(page, mood).evaluate("card => { card.dataset.same = 'yes'; }")
        route, answer = waiting.pop()
        route.fulfill(response=answer)
    wait_for("it is asked", lambda: page.evaluate("1") and waiting)
    expect(card(page, mood)).to_have_attribute("data-same", "yes")
    page.unroute_all(behavior="ignoreErrors")
