"""Polls are made, edited, moved along and deleted on the page. Refusals stand beside the field that they are about."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Pages
from tests.browser.polls import Polls, card, names
from tests.support.cluster import Cluster

REFUSED = ("status of 400", "status of 404", "status of 409", "status of 410")


def form(page: Page) -> Locator:
    return page.get_by_role("dialog", name="New poll")


def press(page: Page, action: str, title: str) -> None:
    page.get_by_role("button", name=f"{action}: {title}", exact=True).click()


def confirm(page: Page, action: str) -> None:
    page.get_by_role("alertdialog").get_by_role("button", name=action).click()


def test_a_poll_lives_its_whole_life_on_the_page(cluster: Cluster, pages: Pages) -> None:
    page, title = pages.open(cluster.nodes[0].url, expected=REFUSED), "Où dîner ?"
    page.get_by_role("button", name="New poll").click()
    expect(form(page).get_by_label("Title")).to_be_focused()
    form(page).get_by_label("Title").fill(title)
    expect(form(page).get_by_label("Name in addresses")).to_have_value("ou-diner")
    form(page).get_by_label("Options, one a line").fill("ici\n\n  là-bas ")
    form(page).get_by_role("button", name="Save as a draft").click()
    expect(card(page, title).locator(".state")).to_have_text("draft")
    expect(names(page, title)).to_have_text(["ici", "là-bas"])
    press(page, "Edit", title)
    edit = page.get_by_role("dialog", name=f"Edit “{title}”")
    edit.get_by_label("More options").fill("nulle part")
    edit.get_by_label("Title").fill("Où ?")
    edit.get_by_role("button", name="Save").click()
    expect(names(page, "Où ?")).to_have_text(["ici", "là-bas", "nulle part"])
    for action, state in [("Open", "open"), ("Close", "closed"), ("Open again", "open"), ("Close", "closed")]:
        press(page, action, "Où ?")
        expect(card(page, "Où ?").locator(".state")).to_have_text(state)
        expect(card(page, "Où ?").locator(".actions button").first).to_be_focused()  # the keyboard keeps its place
    for action in ("Archive", "Delete"):
        press(page, action, "Où ?")
        expect(page.get_by_role("alertdialog").get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Escape")
        press(page, action, "Où ?")
        confirm(page, action)
    expect(card(page, "Où ?")).to_have_count(0)
    expect(page.locator("#toast")).to_have_text("deleted: Où ?")


def test_what_is_refused_stands_beside_its_field(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    taken = polls.make(["yes", "no"])
    page = pages.open(cluster.nodes[0].url, expected=REFUSED)
    page.get_by_role("button", name="New poll").click()
    for label, value, about, words in [
        ("Title", "Mine", "options", "0 options; a poll needs at least 2, or write_ins"),
        ("Options, one a line", "a\nb\na", "options", "option 'a' stands there twice"),
        ("Options, one a line", "a\nb", "id", ""),
        ("Name in addresses", "a/b", "id", "id stands in addresses: it cannot have a slash, nor be a dot or two"),
        ("Closes by itself", "2001-01-01T00:00", "id", "id stands in addresses"),
        ("Name in addresses", f"{taken}-new", "closes_at", "the closing time has passed already"),
        ("Closes by itself", "", "closes_at", ""),
        ("Name in addresses", taken, "id", "another poll has this id"),
    ]:
        form(page).get_by_label(label).fill(value)
        if not words:
            continue
        form(page).get_by_role("button", name="Open it now").click()
        why = form(page).locator(f'[data-about="{about}"]')
        expect(why).to_contain_text(words)
        expect(form(page).locator(f'[name="{about}"]')).to_be_focused()
        expect(form(page).locator(f'[name="{about}"]')).to_have_attribute("aria-invalid", "true")
        expect(form(page).locator(".why:not(:empty)")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(form(page)).to_be_hidden()


def test_a_change_whose_answer_was_lost_is_made_once_and_said_to_be_made(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    """The first answer to each change is lost after the cluster made it, so the second try is refused."""
    mood = polls.make(["yes", "no"])
    page = pages.open(cluster.nodes[0].url, expected=(*REFUSED, "net::ERR_"))
    lost: set[str] = set()

    def lose_once(route: Route) -> None:
        request = route.request
        key = f"{request.method} {request.url} {request.post_data}"
        if request.method == "GET" or key in lost:
            return route.continue_()
        lost.add(key)
        route.fetch()
        return route.abort()

    page.route("**/polls*/**", lose_once)
    press(page, "Close", mood)
    expect(page.locator("#toast")).to_have_text(f"closed: {mood}")
    press(page, "Archive", mood)
    confirm(page, "Archive")
    expect(page.locator("#toast")).to_have_text(f"archived: {mood}")
    press(page, "Delete", mood)
    confirm(page, "Delete")
    expect(page.locator("#toast")).to_have_text(f"deleted: {mood}")
    assert 3 == len(lost)


def test_two_tabs_that_edit_one_poll_lose_nothing_of_each_other(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    """Each sends only what its reader has changed."""
    mood = polls.make(["yes", "no"], title="Mood")
    first, second = pages.open(cluster.nodes[0].url), pages.open(cluster.nodes[1].url)
    for page in (first, second):
        press(page, "Edit", "Mood")
        expect(page.get_by_role("dialog")).to_be_visible()
    first.get_by_role("dialog").get_by_label("Title").fill("Mood of today")
    first.get_by_role("button", name="Save").click()
    expect(card(first, "Mood of today")).to_be_visible()
    second.get_by_role("dialog").get_by_label("More options").fill("perhaps")
    second.get_by_role("button", name="Save").click()
    for page in (first, second):
        expect(names(page, "Mood of today")).to_have_text(["yes", "no", "perhaps"])
    assert "Mood of today" == cluster.nodes[0].get(f"/polls/{mood}?level=linearizable")["title"]


def test_archived_polls_are_shown_at_a_wish_and_deleted(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    """They are not followed, so a page that is loaded later does not have them."""
    old, older = polls.make(["yes", "no"], title="Old"), polls.make(["a", "b"], title="Older")
    polls.vote(old, "yes", 3)
    for poll in (old, older):
        polls.move(poll, "closed")
        polls.move(poll, "archived")
    page = pages.open(cluster.nodes[0].url, expected=REFUSED)
    expect(page.locator("#link")).to_have_text("live")
    expect(page.get_by_role("article")).to_have_count(0)
    page.get_by_role("button", name="Show archived polls").press("Enter")
    expect(card(page, "Old").locator(".state")).to_have_text("archived")
    expect(card(page, "Old").locator(".total")).to_have_text("3 votes")
    expect(card(page, "Older")).to_be_visible()
    expect(page.get_by_role("button", name="Show archived polls")).to_be_hidden()
    press(page, "Delete", "Old")
    confirm(page, "Delete")
    expect(card(page, "Old")).to_have_count(0)
    expect(card(page, "Older")).to_have_count(1)


def test_where_no_poll_is_archived_it_is_said(cluster: Cluster, pages: Pages) -> None:
    page = pages.open(cluster.nodes[0].url)
    page.get_by_role("button", name="Show archived polls").click()
    expect(page.locator("#toast")).to_have_text("No poll is archived.")
