"""The page can be used by keyboard, with a screen reader, on a narrow screen, in dark mode and without JavaScript."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Pages
from tests.browser.polls import Polls, card, counts, names, option
from tests.support.cluster import Cluster
from tests.support.contrast import contrast

NARROW, WIDE = 360, 1280
WIDER = """() => {
    const right = document.documentElement.clientWidth
    if (document.documentElement.scrollWidth <= right) return []
    return [...document.body.querySelectorAll("*")].filter((each) => each.getBoundingClientRect().right > right)
        .map((each) => each.outerHTML.slice(0, 200))
}"""  # what makes the page wider than the screen


def test_what_stands_there_has_a_name_for_those_who_hear_it(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"], write_ins=True)
    polls.vote(mood, "happy", 3)
    page = pages.open(cluster.nodes[0].url)
    expect(page).to_have_title("Quorate")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    for region in ("Nodes", "Polls", "From a terminal"):
        expect(page.get_by_role("region", name=region, exact=True)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quorate")
    expect(option(page, mood, "happy").get_by_role("button")).to_have_accessible_name("happy 100% 3 Vote for it")
    expect(card(page, mood).get_by_role("textbox")).to_have_accessible_name("Another option")
    for button in page.get_by_role("button").all():
        expect(button).not_to_have_accessible_name("")


def test_the_keyboard_is_enough_to_vote(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    page = pages.open(cluster.nodes[0].url)
    option(page, mood, "happy").get_by_role("button").focus()
    page.keyboard.press("Tab")
    expect(option(page, mood, "sad").get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(counts(page, mood)).to_have_text(["0", "1"])


def test_the_focus_stays_on_an_option_that_is_overtaken(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    many = polls.make([f"option {i}" for i in range(12)])
    polls.vote(many, "option 3", 5)
    page = pages.open(cluster.nodes[0].url)
    expect(names(page, many).first).to_have_text("option 3")
    button = option(page, many, "option 0").get_by_role("button")
    button.focus()
    for weight, name in [(9, "option 0"), (20, "option 7"), (30, "option 3")]:
        polls.vote(many, name, weight)
        expect(names(page, many).first).to_have_text(name)
        expect(button).to_be_focused()


def test_the_focus_stays_on_a_node_while_nodes_are_asked_again(cluster: Cluster, pages: Pages) -> None:
    page = pages.open(cluster.nodes[0].url)
    link = page.get_by_role("link", name=cluster.nodes[1].id, exact=True)
    link.focus()
    for _ in range(2):
        with page.expect_response("**/nodes"):
            pass
    expect(link).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_nothing_is_wider_than_the_screen(
    width: int, scheme: str, cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    long = polls.make(["x" * 256, "й" * 128], title="A title of many words that goes on and on " + "y" * 120)
    page = pages.open(cluster.nodes[0].url, viewport={"width": width, "height": 740}, color_scheme=scheme)
    expect(page.locator("#lines code").first).to_be_visible()
    expect(page.get_by_role("heading", name="A title of many words")).not_to_have_count(0)
    polls.vote(long, "x" * 256, 1_000_000)
    expect(page.get_by_text("1,000,000 votes").first).to_be_visible()
    assert [] == page.evaluate(WIDER)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(scheme: str, cluster: Cluster, pages: Pages) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5."""
    page = pages.open(cluster.nodes[0].url, color_scheme=scheme)
    colors: dict[str, str] = page.evaluate(
        """names => Object.fromEntries(names.map((name) =>
            [name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim()]))""",
        ["paper", "card", "ink", "quiet", "accent", "bar", "lead", "warn", "bad"],
    )
    pairs = [(text, ground) for text in ("ink", "quiet", "accent", "bad") for ground in ("paper", "card")]
    pairs += [("ink", "bar"), ("ink", "lead"), ("warn", "paper"), ("paper", "ink")]
    poor = {pair: contrast(colors[pair[0]], colors[pair[1]]) for pair in pairs}
    assert {} == {pair: ratio for pair, ratio in poor.items() if ratio < 4.5}


def test_without_javascript_the_results_are_tables(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"], title="Mood without <script>")
    polls.vote(mood, "happy", 3)
    page = pages.open(cluster.nodes[0].url, java_script_enabled=False)
    expect(page).to_have_url(f"{cluster.nodes[0].url}/table")
    table = page.get_by_role("article").filter(has=page.get_by_role("heading", name="Mood without <script>"))
    expect(table.get_by_role("row", name="happy")).to_have_text("happy3100.0%")
    expect(table).to_contain_text("3 votes")


def test_a_text_from_right_to_left_has_its_card_so(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    """The bars grow from where the names begin, and each name has its own direction."""
    right = polls.make(["כן", "no"], title="האם זה עובד?")
    polls.vote(right, "כן")
    page = pages.open(cluster.nodes[0].url)
    shown = card(page, "האם זה עובד?")
    expect(shown.locator("li").first).to_contain_text("כן")
    assert "rtl" == shown.evaluate("card => getComputedStyle(card).direction")
    bar = shown.locator(".bar").first
    width = bar.evaluate("bar => bar.offsetWidth")
    assert f"{width}px" == bar.evaluate("bar => getComputedStyle(bar).transformOrigin.split(' ')[0]")

    def begins(part: str) -> float:
        box = shown.locator(part).first.bounding_box()
        assert box
        return box["x"]

    assert begins(".count") < begins("bdi")
    assert begins(".total") == begins(".options")
    assert "ltr" == shown.locator(".total").evaluate("total => getComputedStyle(total).direction")


def test_the_buttons_of_a_member_are_whole_on_a_narrow_screen(cluster: Cluster, pages: Pages) -> None:
    page = pages.open("about:blank", viewport={"width": NARROW, "height": 740})
    members = [
        {"id": "n1", "raft": "127.0.0.1:20583", "voter": True},
        {"id": "n2", "raft": "votes-2.eu-central.example.internal:20583", "voter": False},
    ]
    page.route("**/members", lambda route: route.fulfill(json={"members": members}))
    page.goto(cluster.nodes[0].url)
    page.get_by_text("The cluster in detail").click()
    table = page.get_by_role("region", name="Members")
    expect(table.get_by_role("button")).to_have_count(6)
    edges = table.bounding_box()
    assert edges
    for button in table.get_by_role("button").all():
        box = button.bounding_box()
        assert box
        assert box["x"] + box["width"] <= edges["x"] + edges["width"]
        assert box["height"] < box["width"], "its word is in one piece"
    assert table.evaluate("table => table.scrollWidth <= table.clientWidth")


def test_with_the_readers_own_colours_bars_lines_and_words_are_seen(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    mood = polls.make(["happy", "sad"])
    polls.vote(mood, "happy", 3)
    page = pages.open(cluster.nodes[0].url, forced_colors="active", color_scheme="dark")
    canvas = page.evaluate("getComputedStyle(document.body).backgroundColor")
    text = page.evaluate("getComputedStyle(document.body).color")

    def style(selector: str, name: str) -> str:
        """In one turn of the page's: a chart is drawn anew each second."""
        found: str = page.evaluate(
            "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]", [selector, name]
        )
        return found

    expect(card(page, mood).locator(".totals .series.of2")).to_be_attached()
    for selector in (".bar", ".nodes .dot"):
        assert style(selector, "backgroundColor") != canvas, selector
    assert style("#toast", "borderTopStyle") == "solid"
    for selector in (".series.all", ".series.of1", ".series.of2"):
        assert text == style(selector, "stroke"), selector
    assert text == style(".axis", "fill")


@pytest.mark.parametrize("path", ["/", "/table"])
def test_on_paper_there_is_dark_on_light_and_nothing_to_click(
    path: str, cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    mood = polls.make(["happy", "sad"], write_ins=True)
    polls.vote(mood, "happy", 3)
    page = pages.open(f"{cluster.nodes[0].url}{path}", color_scheme="dark")
    expect(page.get_by_text("3 votes").first).to_be_visible()
    page.emulate_media(media="print", color_scheme="dark")
    color, ground = page.evaluate("[getComputedStyle(document.body)].map((of) => [of.color, of.backgroundColor])[0]")
    assert ("rgb(29, 36, 34)", "rgb(255, 255, 255)") == (color, ground)
    expect(page.get_by_text("happy").first).to_be_visible()
    for kind in ("searchbox", "textbox"):
        expect(page.get_by_role(kind)).to_have_count(0)
    for words in ("New poll", "Close", "Vote", "Copy", "15 min"):
        expect(page.get_by_role("button", name=words, exact=True)).to_have_count(0)
    if path == "/":
        assert "exact" == page.locator(".bar").first.evaluate("bar => getComputedStyle(bar).printColorAdjust")
