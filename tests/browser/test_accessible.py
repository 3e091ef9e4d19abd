"""Axe finds nothing against WCAG 2.2 AA, whatever the page shows: in light and dark, wide and narrow.

axe/ has axe-core 4.14.1 (npm) as it is published, with its licences; it is for tests only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import NODES_DIE, Pages
from tests.browser.polls import Polls, card
from tests.support.cluster import Cluster
from tests.support.tokens import write_tokens

AXE = Path(__file__).parent / "axe" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def complaints(page: Page) -> list[str]:
    """What axe says of the page as it is now."""
    page.evaluate(
        "() => Promise.all(document.getAnimations().map((moving) => moving.finished))"
    )  # else colours are between
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(
        """async (rules) => {
            const { violations } = await axe.run(document, { runOnly: { type: "tag", values: rules } });
            return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
        }""",
        RULES,
    )
    return found


@pytest.fixture(params=["light-1280", "dark-360"])
def look(request: pytest.FixtureRequest) -> dict[str, Any]:
    scheme, _, width = request.param.partition("-")
    return {"color_scheme": scheme, "viewport": {"width": int(width), "height": 800}}


def test_axe_finds_nothing_on_the_page(cluster: Cluster, polls: Polls, pages: Pages, look: dict[str, Any]) -> None:
    mood = polls.make(["happy", "sad"], write_ins=True)
    many = polls.make([f"option {number}" for number in range(30)])
    closed = polls.make(["yes", "no"], title="שלום")
    polls.vote(mood, "happy", 3)
    polls.vote(many, "option 7", 5)
    polls.move(closed, "closed")
    page = pages.open(cluster.nodes[0].url, expected=NODES_DIE, **look)
    page.get_by_text("The cluster in detail").click()
    expect(page.locator("#health")).to_contain_text("all is well")
    expect(page.locator("#members tbody tr")).to_have_count(3)
    expect(card(page, mood).locator("form")).to_be_visible()
    assert [] == complaints(page)
    card(page, many).get_by_label("Find an option").fill("nothing like it")
    expect(card(page, many)).to_contain_text("No option has that in its name.")
    assert [] == complaints(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")


def test_axe_finds_nothing_in_the_dialogs(cluster: Cluster, polls: Polls, pages: Pages, look: dict[str, Any]) -> None:
    mood = polls.make(["happy", "sad"])
    polls.move(mood, "closed")
    page = pages.open(cluster.nodes[0].url, expected=("status of 400",), **look)
    page.get_by_role("button", name="New poll").click()
    page.get_by_role("button", name="Open it now").click()
    expect(page.locator("#edit .why:not(:empty)").first).to_be_visible()
    assert [] == complaints(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"Archive: {mood}").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    assert [] == complaints(page)
    page.keyboard.press("Escape")
    page.get_by_text("The cluster in detail").click()
    page.get_by_role("button", name="Add a member").click()
    assert [] == complaints(page)


def test_axe_finds_nothing_while_nodes_are_away(cluster: Cluster, pages: Pages, look: dict[str, Any]) -> None:
    page = pages.open(cluster.nodes[0].url, expected=NODES_DIE, **look)
    expect(page.locator("#served")).to_contain_text("answered by")

    def fail(route: Route) -> None:
        route.abort("connectionrefused")

    page.route(f"{cluster.nodes[0].url}/**", fail)
    expect(page.locator("#moved")).to_be_visible()
    expect(page.locator("#link")).to_have_text("live")
    assert [] == complaints(page)
    for node in cluster.nodes[1:]:
        page.route(f"{node.url}/**", fail)
    expect(page.locator("#nodes li.away")).to_have_count(1)
    expect(page.locator("#moved-words")).to_contain_text("None of the nodes")
    assert [] == complaints(page)


def test_axe_finds_nothing_in_the_tables(cluster: Cluster, polls: Polls, pages: Pages, look: dict[str, Any]) -> None:
    mood = polls.make(["happy", "sad"])
    polls.vote(mood, "sad", 2)
    page = pages.open(f"{cluster.nodes[0].url}/table", **look)
    expect(page.get_by_role("row", name="sad").first).to_be_visible()
    assert [] == complaints(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")


@pytest.fixture
def closed(browser: Browser, tmp_path: Path) -> Iterator[Cluster]:
    settings = {"auth.file": str(write_tokens(tmp_path / "tokens.toml")), "auth.anonymous": []}
    with Cluster(tmp_path / "cluster", 1, settings, token="operate") as cluster:
        yield cluster


def test_axe_finds_nothing_where_a_token_is_asked_for_and_no_poll_is(closed: Cluster, pages: Pages) -> None:
    page = pages.open(closed.nodes[0].url, expected=("status of 401",))
    page.get_by_label("A token is needed").fill("nobody")
    page.keyboard.press("Enter")
    expect(page.locator("#token-why")).not_to_be_empty()
    assert [] == complaints(page)
    page.get_by_label("A token is needed").fill("operate")
    page.keyboard.press("Enter")
    expect(page.locator("#none")).to_be_visible()
    expect(page.locator("#who")).to_have_text("signed in as operate (operate)")
    assert [] == complaints(page)
