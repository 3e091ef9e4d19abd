"""The chart of each poll: what the node recorded, what is heard since, and gaps, for eyes, ears and hands."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Pages
from tests.browser.polls import Polls, card
from tests.browser.test_accessible import complaints
from tests.support.cluster import Cluster
from tests.support.contrast import contrast
from tests.support.waiting import wait_for


def chart(page: Page, title: str) -> Locator:
    return card(page, title).locator(".chart")


def recorded(page: Page, title: str, total: int) -> Locator:
    """The chart, when its summary tells votes and its slider the total now."""
    found = chart(page, title)
    moment = found.locator(".moment")
    words = f"now: {total:,} vote"
    wait_for(words, lambda: scrolled_to(page, title) and words in (moment.text_content() or ""), deadline_s=30)
    return found


def scrolled_to(page: Page, title: str) -> bool:
    """Only what is on the screen is drawn, and while a page begins, other polls come in above."""
    card(page, title).scroll_into_view_if_needed()
    return True


def test_what_was_recorded_is_drawn_and_what_is_heard_goes_on(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    polls.vote(mood, "happy", 3)
    page = pages.open(cluster.nodes[0].url)
    found = recorded(page, mood, 3)
    expect(found.locator(".totals .series")).to_have_count(3)
    polls.vote(mood, "sad", 40)
    expect(found.locator(".moment")).to_contain_text("now: 43 votes")
    expect(found.locator(".legend")).to_contain_text("sad40")
    expect(found.locator(".rates .rate")).not_to_have_count(0)
    expect(found.locator(".summary")).to_contain_text("a minute at")


def test_a_node_that_was_down_shows_a_gap(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    node = cluster.nodes[0]
    page = pages.open(node.url, expected=("net::ERR_", "status of 503"))
    recorded(page, mood, 0)

    def seconds() -> int:
        totals: list[int | None] = node.get(f"/polls/{mood}/history?from=60s&step=1s")["totals"]
        return len(totals) - totals.count(None)

    wait_for("a step of the chart before the gap", lambda: seconds() > 5)
    node.kill()
    polls.vote(mood, "happy", at=cluster.nodes[1])
    expect(page.locator("#link")).to_have_text("live")  # it goes on at another node, whose history has no gap
    page.close()
    cluster.start()
    cluster.wait_whole()
    page = pages.open(node.url)
    found = recorded(page, mood, 1)
    expect(found.locator(".summary")).to_contain_text("Not known by this node:")
    expect(found.locator(".totals .gap")).to_have_count(1)
    first, second = found.locator(".totals .series.all").get_attribute("d").split("M")[1:]  # type: ignore[union-attr]
    assert first, second


def test_each_moment_is_told_by_keyboard_and_as_a_table(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    polls.vote(mood, "happy", 5)
    page = pages.open(cluster.nodes[0].url)
    found = recorded(page, mood, 5)
    slider = found.get_by_role("slider", name="Moment")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^now: 5 votes.*; happy 5; sad 0$"))
    expect(found.locator(".totals .series.of1")).to_have_count(1)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^\d+:\d\d:\d\d.*: (5 votes|not known)"))
    expect(found.locator(".totals .at")).to_have_count(1)
    expect(slider).to_be_focused()
    page.keyboard.press("End")
    expect(found.locator(".totals .at")).to_have_count(0)
    found.get_by_text("As a table").focus()
    page.keyboard.press("Enter")
    expect(found.get_by_role("columnheader")).to_have_text(["Time", "Votes", "A minute"])
    expect(found.get_by_role("row").last).to_contain_text("5")
    assert [] == complaints(page)
    week = found.get_by_role("button", name="1 week")
    expect(week).to_have_attribute("aria-pressed", "false")
    with page.expect_response("**/history?from=*&step=1800s"):
        week.press("Enter")
    expect(week).to_have_attribute("aria-pressed", "true")
    expect(week).to_be_focused()
    found.get_by_text("Over time").click()
    expect(slider).to_be_hidden()


@pytest.mark.parametrize("hours", [2, -2])
def test_a_chart_goes_on_when_the_readers_clock_is_set(
    hours: int, cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    mood = polls.make(["happy", "sad"])
    polls.vote(mood, "happy", 3)
    page = pages.open("about:blank")
    page.clock.install()
    page.goto(cluster.nodes[0].url)
    found = recorded(page, mood, 3)
    expect(found.locator(".totals .series")).to_have_count(3)
    page.clock.set_system_time(page.evaluate(f"Date.now() / 1000 + {hours} * 3_600"))
    polls.vote(mood, "sad", 40)
    expect(found.locator(".moment")).to_contain_text("now: 43 votes")
    with page.expect_response("**/history?*") as answer:
        page.clock.run_for(16_000)
    assert 200 == answer.value.status
    expect(found.locator(".totals .series")).to_have_count(3)
    expect(found.locator(".moment")).to_contain_text("now: 43 votes")


def test_a_draft_has_no_chart_and_neither_has_a_poll_of_a_node_that_records_nothing(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    mood, other, draft = (polls.make(["a", "b"], state=state) for state in ("open", "open", "draft"))
    page = pages.open("about:blank", expected=("status of 404",))
    page.route(f"**/polls/{other}/history?*", lambda route: route.fulfill(status=404, json={"type": "not-found"}))
    page.goto(cluster.nodes[0].url)
    recorded(page, mood, 0)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    wait_for("it was asked for", lambda: scrolled_to(page, other) and f"/polls/{other}/history" in " ".join(asked))
    expect(chart(page, other)).to_be_hidden()
    scrolled_to(page, draft)
    expect(card(page, draft).locator(".state")).to_be_in_viewport()
    expect(chart(page, draft)).to_be_attached()  # it is looked at each second while it is on the screen
    expect(chart(page, draft)).to_be_hidden()
    assert f"/polls/{draft}/history" not in " ".join(asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_stand_out_and_a_narrow_screen_is_wide_enough(
    scheme: str, cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    """WCAG 2.2, 1.4.11: a contrast of at least 3 for what is no text."""
    names = ["x" * 256, *(f"option {i}" for i in range(11))]
    title = scheme * 20
    long = polls.make(names, title=title)
    for votes, name in enumerate(names):
        polls.vote(long, name, 12 - votes)
    page = pages.open(cluster.nodes[0].url, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    recorded(page, title, 78)
    expect(chart(page, title).locator(".totals .series")).to_have_count(6)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    lines: dict[str, str] = page.evaluate(
        """names => Object.fromEntries(names.map((name) =>
            [name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim()]))""",
        ["card", "quiet", *(f"of{i}" for i in range(1, 6))],
    )
    ground = lines.pop("card")
    assert {} == {name: color for name, color in lines.items() if contrast(color, ground) < 3}


# ---- what is made of points -----------------------------------------------------------------------------------------


def made_of(pages: Pages, cluster: Cluster, call: str, *arguments: Any) -> Any:
    page = pages.open(cluster.nodes[0].url)
    return page.evaluate(
        f"async (given) => {{ const all = await import('/static/series.js'); return all.{call}(...given); }}", arguments
    )


def test_what_is_heard_is_bounded_while_no_history_comes(cluster: Cluster, pages: Pages) -> None:
    """A second is told apart from the next one only where the steps are short."""
    page = pages.open(cluster.nodes[0].url)
    for place, least, most in [(0, 800, 1_000), (3, 50, 100)]:
        seen = page.evaluate(
            """async (place) => {
                const { RANGES, Series } = await import("/static/series.js");
                const series = new Series("p");
                series.range = RANGES[place];
                let now = 1e12;
                Object.defineProperty(series, "now", { get: () => now });
                series.recorded = [{ at: now, total: 0, options: new Map([["a", 0]]) }];
                for (let votes = 1; votes <= 20_000; votes++) {
                    now += 1000;
                    series.hear({ total: votes, results: { a: votes } });
                }
                return [series.heard.length, series.points().at(-1).total];
            }""",
            place,
        )
        assert 20_000 == seen[1]
        assert least <= seen[0] <= most


NAMES = """async ({ begin, end, width }) => {
    const { beginPlot } = await import("/static/plot.js");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    Object.assign(svg.style, { display: "block", width: `${width}px`, height: "72px" });
    document.querySelector("main").append(svg);
    const { x } = beginPlot(svg, { begin, end, high: 1, gaps: [], names: true });
    const names = [...svg.querySelectorAll(".axis")].map((text) => {
        const { x: left, width } = text.getBBox();
        return [left, left + width, text.textContent];
    });
    svg.remove();
    return names;
}"""


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_the_names_of_moments_lie_beside_each_other(locale: str, cluster: Cluster, pages: Pages) -> None:
    """Wherever the chart begins, on a wide and on a narrow screen."""
    page = pages.open(cluster.nodes[0].url, locale=locale)
    for width in (300, 790):
        for second in range(0, 60, 3):
            begin = 1_790_000_000_000 + second * 1_000
            for long_s in (90, 900, 3_600, 86_400, 604_800):
                names = page.evaluate(NAMES, {"begin": begin, "end": begin + long_s * 1_000, "width": width})
                assert names
                assert names[0][0] >= 0
                assert names[-1][1] <= width
                assert all(left[1] < right[0] for left, right in pairwise(names)), names


def test_a_day_begins_at_midnight_also_behind_the_change_to_summer_time(cluster: Cluster, pages: Pages) -> None:
    """In Berlin that was on Sunday, 29 March 2026."""
    page = pages.open(cluster.nodes[0].url, locale="en-GB", timezone_id="Europe/Berlin")
    begin, end = page.evaluate("[Date.parse('2026-03-25T12:00:00'), Date.parse('2026-04-01T12:00:00')]")
    names = page.evaluate(NAMES, {"begin": begin, "end": end, "width": 800})
    days = {text: (left + right) / 2 for left, right, text in names}
    assert ["Thu 26", "Fri 27", "Sat 28", "Sun 29", "Mon 30", "Tue 31", "Wed 1"] == list(days)
    midnight = page.evaluate("Date.parse('2026-03-28T00:00:00')")
    assert days["Sat 28"] == pytest.approx((midnight - begin) / (end - begin) * 800, abs=1)


def points(*totals: int | None) -> list[dict[str, Any]]:
    return [{"at": at * 1_000, "total": total} for at, total in enumerate(totals)]


def test_gaps_are_between_what_is_known(cluster: Cluster, pages: Pages) -> None:
    found = made_of(pages, cluster, "gapsOf", points(None, None, 1, 2, None, None, 5, None, 6, 6, None, None))
    assert [[3_000, 6_000], [6_000, 8_000], [9_000, 11_000]] == found, "not what was before the first"
    assert [] == made_of(pages, cluster, "gapsOf", points(1, 2, 3))


def test_gaps_that_meet_are_one(cluster: Cluster, pages: Pages) -> None:
    gaps = [[7, 9], [1, 3], [3, 4], [2, 5], [9, 10]]
    assert [[1, 5], [7, 10]] == made_of(pages, cluster, "merged", gaps)


def test_a_rate_is_of_votes_without_a_gap_between(cluster: Cluster, pages: Pages) -> None:
    """In bins of two seconds."""
    seen = points(None, 1, 1, 4, None, 7, 9, 9, 3)
    bins = [tuple(each.values()) for each in made_of(pages, cluster, "ratesOf", seen, [], 120_000)]
    assert [(1_000, 3_000, 90), (5_000, 7_000, 60), (7_000, 8_000, 0)] == bins, "votes that go are no rate"
    bins = [
        tuple(each.values()) for each in made_of(pages, cluster, "ratesOf", points(0, 5, 6, 8), [[500, 800]], 120_000)
    ]
    assert [(1_000, 3_000, 90)] == bins, "a gap that no step meets is one"
