"""The page of a run looks right: on a narrow screen, a wide one and paper, in light and dark, clean and violated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Pages
from tests.browser.test_looks import NARROW, WIDE
from tests.support.contrast import contrast
from tests.unit.chaos.report_files import drawn, later, random_history, with_a_lost_vote

PAPER = 703  # A4 without its margins
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3

# Each text that is seen, with its colour and the nearest ground that is not transparent.
COLOURS = """() => {
  const seen = [];
  const two = (number) => (+number).toString(16).padStart(2, "0");
  const hex = (color) => "#" + color.match(/[0-9]+/g).slice(0, 3).map(two).join("");
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((each) => each.nodeType === 3);
    const words = texts.map((each) => each.data.trim()).filter((each) => each);
    if (!words.length || element.closest("svg") || !element.checkVisibility()) continue;
    let ground = element;
    const of = (each) => getComputedStyle(each).backgroundColor;
    while (of(ground) === "rgba(0, 0, 0, 0)" && ground.parentElement) ground = ground.parentElement;
    seen.push([words[0], hex(getComputedStyle(element).color), hex(of(ground))]);
  }
  return seen;
}"""
# Pairs of texts on one axis that lie over each other, or reach out of the page.
OVERLAPS = """() => {
  const bad = [];
  for (const axis of document.querySelectorAll(".axis .plot, .side")) {
    const boxes = [...axis.querySelectorAll("span")].filter((each) => each.checkVisibility())
      .map((each) => [each.textContent, each.getBoundingClientRect(), each.className]);
    for (const [i, [words, box, name]] of boxes.entries()) {
      if (box.right > document.documentElement.clientWidth) bad.push(words + " reaches out");
      for (const [others, other, kind] of boxes.slice(i + 1))
        if (name !== "name" && kind !== "name" && box.left < other.right && other.left < box.right
            && box.top < other.bottom - 1 && other.top < box.bottom - 1) bad.push(words + " over " + others);
    }
  }
  return bad;
}"""


@pytest.fixture(params=["clean", "violated"])
def report(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    right = later(random_history(), 20_000)
    records = right if request.param == "clean" else with_a_lost_vote(right)
    text, verdict, _ = drawn(tmp_path, records)
    assert request.param == verdict.verdict
    path = tmp_path / "report.html"
    path.write_text(text)
    return path.as_uri()


@pytest.fixture
def shown(report: str, pages: Pages) -> Callable[[int, str], Page]:
    def show(width: int, scheme: str) -> Page:
        return pages.open(report, viewport={"width": width, "height": 800}, color_scheme=scheme)

    return show


def test_nothing_is_wider_than_the_screen_and_no_label_lies_over_another(shown: Callable[[int, str], Page]) -> None:
    for width in (NARROW, PAPER, WIDE):
        page = shown(width, "light")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        for details in page.locator("summary").all():
            details.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert [] == page.evaluate(OVERLAPS)


def test_it_fits_on_paper(shown: Callable[[int, str], Page]) -> None:
    page = shown(PAPER, "dark")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
    assert "rgb(255, 255, 255)" == page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert poor_contrasts(page) == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_a_report_stands_out_from_what_is_behind_it(
    scheme: str, shown: Callable[[int, str], Page]
) -> None:
    page = shown(WIDE, scheme)
    for details in page.locator("summary").all():
        details.click()
    assert poor_contrasts(page) == {}


def poor_contrasts(page: Page) -> dict[str, float]:
    seen: list[tuple[str, str, str]] = page.evaluate(COLOURS)
    assert len(seen) > 50
    ratios = {words: contrast(ink, ground) for words, ink, ground in seen}
    return {words: round(ratio, 2) for words, ratio in ratios.items() if ratio < LEAST_CONTRAST}


def test_each_picture_and_table_has_a_name_and_the_first_violation_is_one_click_away(
    shown: Callable[[int, str], Page],
) -> None:
    page = shown(WIDE, "light")
    for picture in page.get_by_role("img").all():
        expect(picture).not_to_have_accessible_name("")
        expect(picture).not_to_have_accessible_description("")
    for region in page.get_by_role("region").all():
        expect(region).not_to_have_accessible_name("")
    jump = page.get_by_role("link")
    if jump.count():
        jump.click()
        expect(page.locator("#first-violation")).to_be_in_viewport()
