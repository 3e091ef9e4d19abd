"""Very many polls and options: what is shown is bounded, and the rest is found."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Pages
from tests.browser.polls import Polls, card, counts, names
from tests.support.cluster import Cluster

ELEMENTS_MAX = 4_000


def test_two_hundred_polls_are_shown_in_part_and_searched(alone: Cluster, pages: Pages) -> None:
    polls = Polls(alone, "p")
    for number in range(200):
        polls.make(["yes", "no"], title=f"Frage {number}" if number != 177 else "Où dîner ?")
    page = pages.open(alone.nodes[0].url)
    expect(page.get_by_role("article")).to_have_count(50)
    expect(page.locator("#more")).to_have_text("and 150 more polls")
    page.get_by_role("button", name="Show more polls").press("Enter")
    expect(page.get_by_role("article")).to_have_count(100)
    assert page.evaluate("document.querySelectorAll('*').length") < ELEMENTS_MAX
    search = page.get_by_role("searchbox", name="Search the polls")
    search.press_sequentially("ou diner")
    expect(page.get_by_role("article")).to_have_count(1)
    card(page, "Où dîner ?").get_by_role("button", name="yes").click()
    expect(counts(page, "Où dîner ?")).to_have_text(["1", "0"])
    expect(search).to_have_value("ou diner")
    search.fill("p-178")
    expect(page.get_by_role("heading", level=3)).to_have_text(["Où dîner ?"])  # its name in addresses
    search.fill("no such poll")
    expect(page.locator("#more")).to_have_text("No poll has that in its title or its name.")
    search.fill("")
    expect(page.get_by_role("article")).to_have_count(50)


def test_of_a_thousand_options_each_can_be_found_and_voted_for(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    many = polls.make([f"Kandidat {number}" for number in range(1_000)])
    polls.vote(many, "Kandidat 500", 7)
    page = pages.open(cluster.nodes[0].url)
    shown = card(page, many)
    expect(names(page, many)).to_have_count(10)
    expect(names(page, many).first).to_have_text("Kandidat 500")
    expect(shown.locator(".rest")).to_have_text("and 990 more options")
    shown.get_by_role("button", name="Show more").click()
    expect(names(page, many)).to_have_count(60)
    search = shown.get_by_label("Find an option")
    search.press_sequentially("kandidat 777")
    expect(names(page, many)).to_have_text(["Kandidat 777"])
    shown.get_by_role("button", name="Kandidat 777").click()
    expect(counts(page, many)).to_have_text(["1"])
    expect(shown.locator(".most")).to_have_count(0)  # another one leads
    search.focus()
    polls.vote(many, "Kandidat 777", 10)
    expect(counts(page, many)).to_have_text(["11"])
    expect(search).to_be_focused()
    search.fill("")
    expect(names(page, many).first).to_have_text("Kandidat 777")
    expect(names(page, many)).to_have_count(10)
