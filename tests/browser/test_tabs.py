"""Many tabs of one browser: it has six connections to a node for all of them, and an open stream is one."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Pages
from tests.browser.polls import Polls, counts, option
from tests.support.cluster import Cluster

HIDDEN = "Object.defineProperty(document, 'hidden', { get: () => window.isBehind ?? true })"


def turn(page: Page, *, hidden: bool) -> None:
    """As if another tab was chosen, or this one again: without a screen each page counts as seen."""
    page.evaluate(
        "(hidden) => { window.isBehind = hidden; document.dispatchEvent(new Event('visibilitychange')); }", hidden
    )


def test_tabs_that_are_not_seen_leave_the_connections_to_the_one_that_is(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    """With six streams open nothing else was answered, and each page said that its node is dead."""
    mood = polls.make(["happy", "sad"])
    url = cluster.nodes[0].url
    seen = pages.open(url)
    expect(counts(seen, mood)).to_have_text(["0", "0"])
    behind = []
    for _ in range(7):
        tab = seen.context.new_page()
        tab.add_init_script(HIDDEN)
        tab.goto(url)
        expect(tab.locator("#nodes li")).to_have_count(3)
        behind.append(tab)
    option(seen, mood, "happy").get_by_role("button").click()
    expect(counts(seen, mood)).to_have_text(["1", "0"])
    expect(seen.locator("#link")).to_have_text("live")
    expect(behind[0].locator("#link")).to_have_text("connecting")
    turn(behind[0], hidden=False)
    expect(counts(behind[0], mood)).to_have_text(["1", "0"])
    expect(behind[0].locator("#link")).to_have_text("live")


def test_a_tab_that_is_hidden_rests_after_a_while_and_misses_nothing(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    mood = polls.make(["happy", "sad"])
    page = pages.open("about:blank")
    page.clock.install()
    page.add_init_script(HIDDEN.replace("true", "false"))
    page.goto(cluster.nodes[0].url)
    expect(page.locator("#link")).to_have_text("live")
    turn(page, hidden=True)
    page.clock.run_for(3_000)
    polls.vote(mood, "happy")
    expect(counts(page, mood)).to_have_text(["1", "0"])  # one may come back soon
    page.clock.run_for(8_000)
    expect(page.locator("#link")).to_have_text("connecting")
    polls.vote(mood, "happy")
    expect(page.locator("#moved")).to_be_hidden()
    turn(page, hidden=False)
    expect(counts(page, mood)).to_have_text(["2", "0"])
    expect(page.locator("#link")).to_have_text("live")
