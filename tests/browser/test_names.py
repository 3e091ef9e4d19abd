"""The page shows the names of polls and options as text, and never runs what they contain."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Pages
from tests.browser.polls import Polls, card, counts, names, option
from tests.support.cluster import Cluster

MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp;amp; \"'`",
    "${alert(1)} {{7*7}} %s",
    "__proto__",
    "constructor",
    "a.b.$c",
]
WRITING = ["👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽", "x" * 200, "й" * 128, "שלום, עולם!", "a  b   c"]


@pytest.mark.parametrize("made", [pytest.param(MARKUP, id="markup"), pytest.param(WRITING, id="writing")])
def test_names_are_shown_as_text_and_can_be_voted_for(
    made: list[str], cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    poll = polls.make(made)
    page = pages.open(cluster.nodes[0].url)
    expect(counts(page, poll)).to_have_text(["0"] * len(made))
    expect(names(page, poll)).to_have_text(made)
    assert made == names(page, poll).evaluate_all("found => found.map((one) => one.innerText)")
    expect(names(page, poll).locator("bdi *")).to_have_count(0)
    for name in names(page, poll).all():
        name.click()
    expect(counts(page, poll)).to_have_text(["1"] * len(made))


def test_a_title_is_text_too(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    title = "<img src=x onerror=alert(1)> & <b>bold</b>"
    polls.make(["yes", "no"], title=title)
    page = pages.open(cluster.nodes[0].url)
    expect(card(page, title)).to_be_visible()


def test_text_from_right_to_left_ends_on_its_left(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    """The last character is drawn to the left of the first letter."""
    poll = polls.make(["שלום!", "hello!"])
    page = pages.open(cluster.nodes[0].url)
    edge = """(name, at) => {
        const range = document.createRange();
        range.setStart(name.firstChild, at);
        range.setEnd(name.firstChild, at + 1);
        return range.getBoundingClientRect().left;
    }"""
    hebrew = option(page, poll, "שלום!").locator("bdi")
    assert hebrew.evaluate(edge, 4) < hebrew.evaluate(edge, 0)
