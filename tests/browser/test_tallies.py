"""The page shows the tally of each poll, takes votes, and follows the cluster without a reload."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import NODES_DIE, Pages
from tests.browser.polls import Polls, card, counts, names, option
from tests.support.cluster import Cluster


def test_a_poll_is_shown_with_its_options_and_counts(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"], title="How are you today?")
    polls.vote(mood, "happy", 1200)
    polls.vote(mood, "sad", 400)
    page = pages.open(cluster.nodes[0].url, locale="en-GB")
    expect(counts(page, "How are you today?")).to_have_text(["1,200", "400"])
    expect(names(page, "How are you today?")).to_have_text(["happy", "sad"])
    shown = card(page, "How are you today?")
    expect(shown.locator(".share")).to_have_text(["75%", "25%"])
    expect(shown.locator(".total")).to_have_text("1,600 votes")
    expect(shown.locator(".state")).to_have_text("open")


def test_a_vote_cast_at_another_node_appears_without_a_reload(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    here, *others = cluster.nodes
    page = pages.open(here.url)
    expect(counts(page, mood)).to_have_text(["0", "0"])
    page.evaluate("window.sameAsBefore = true")
    for node in others:
        polls.vote(mood, "sad", at=node)
    expect(counts(page, mood)).to_have_text(["0", "2"])
    assert page.evaluate("window.sameAsBefore")


def test_a_poll_made_after_the_page_was_opened_appears(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    page = pages.open(cluster.nodes[0].url)
    expect(page.locator("#link")).to_have_text("live")
    late = polls.make(["happy", "sad"])
    expect(counts(page, late)).to_have_text(["0", "0"])


def test_an_option_that_is_added_appears_at_its_place_and_takes_votes(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    mood = polls.make(["happy", "sad"])
    page = pages.open(cluster.nodes[0].url)
    expect(names(page, mood)).to_have_text(["happy", "sad"])
    polls.add_option(mood, "zen")
    polls.add_option(mood, "7")  # JavaScript puts such keys first
    expect(names(page, mood)).to_have_text(["happy", "sad", "zen", "7"])
    option(page, mood, "zen").get_by_role("button").click()
    expect(counts(page, mood)).to_have_text(["0", "0", "1", "0"])


def test_a_click_votes_and_says_so(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    page = pages.open(cluster.nodes[0].url)
    option(page, mood, "sad").get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("counted: sad")
    expect(counts(page, mood)).to_have_text(["0", "1"])
    assert {"happy": 0, "sad": 1} == polls.results(mood, cluster.nodes[1])


def test_a_reader_writes_in_an_option_of_their_own(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    language = polls.make(["Python"], write_ins=True)
    page = pages.open(cluster.nodes[0].url)
    box = card(page, language).get_by_label("Another option")
    box.fill("Ada")
    box.press("Enter")
    expect(names(page, language)).to_have_text(["Python", "Ada"])
    expect(counts(page, language)).to_have_text(["0", "1"])
    expect(box).to_have_value("")


def test_a_poll_of_fixed_options_takes_no_others(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    fixed, free = polls.make(["yes", "no"]), polls.make(["yes"], write_ins=True)
    page = pages.open(cluster.nodes[0].url)
    expect(card(page, free).get_by_label("Another option")).to_be_visible()
    expect(card(page, fixed).get_by_label("Another option")).to_be_hidden()


def test_options_keep_the_order_of_their_poll(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    """JavaScript would sort names that are numbers to the front."""
    year = polls.make(["never", "2030", "2027", "7"])
    page = pages.open(cluster.nodes[0].url)
    expect(names(page, year)).to_have_text(["never", "2030", "2027", "7"])


def test_of_many_options_the_leading_ten_are_shown(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    many = polls.make([f"option {i}" for i in range(14)])
    for i in range(14):
        polls.vote(many, f"option {i}", i + 1)
    page = pages.open(cluster.nodes[0].url)
    expect(names(page, many)).to_have_text([f"option {i}" for i in range(13, 3, -1)])
    expect(card(page, many).locator(".rest")).to_have_text("and 4 more options")


def test_a_poll_closed_elsewhere_takes_no_more_clicks(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    page = pages.open(cluster.nodes[0].url)
    button = option(page, mood, "happy").get_by_role("button")
    expect(button).to_be_enabled()
    polls.move(mood, "closed")
    expect(card(page, mood).locator(".state")).to_have_text("closed")
    expect(button).to_be_disabled()


def test_a_click_that_came_too_late_is_refused_in_words(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    polls.move(mood, "closed")
    page = pages.open(cluster.nodes[0].url, expected=("status of 410",))
    button = option(page, mood, "happy").get_by_role("button")
    button.evaluate("button => { button.disabled = false; button.click(); }")  # as if the page did not know of it yet
    expect(page.locator("#toast")).to_have_text(f"not counted: the poll {mood} is closed")
    expect(counts(page, mood)).to_have_text(["0", "0"])


def test_open_polls_stand_before_closed_ones(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    first, second = polls.make(["yes", "no"]), polls.make(["yes", "no"])
    page = pages.open(cluster.nodes[0].url)
    mine = page.get_by_role("heading", level=3).filter(has_text=re.compile(f"^({first}|{second})$"))
    expect(mine).to_have_text([first, second])
    polls.move(first, "closed")
    expect(mine).to_have_text([second, first])


def test_a_poll_that_does_not_exist_is_said_in_words(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    page = pages.open(
        f"{cluster.nodes[0].url}/polls/nowhere/results", expected=("status of 404",)
    )  # that is the answer
    expect(page.locator("body")).to_contain_text("no poll 'nowhere'")


def test_a_cluster_without_polls_shows_a_line_that_makes_one(alone: Cluster, pages: Pages) -> None:
    page = pages.open(alone.nodes[0].url)
    expect(page.get_by_text("No poll yet. Make one here, or with the first line below.")).to_be_visible()
    run_line(page, 0)
    expect(counts(page, "How are you?")).to_have_text(["0", "0"])
    expect(page.get_by_text("No poll yet.")).to_be_hidden()
    run_line(page, 0)  # now it casts a vote
    expect(counts(page, "How are you?")).to_have_text(["1", "0"])


def test_the_lines_for_a_terminal_survive_any_name(alone: Cluster, pages: Pages) -> None:
    name = """it's "$HOME" `id` \\ & ; שלום"""
    mine = Polls(alone, "first")
    mine.make([name, "plain"])
    page = pages.open(alone.nodes[0].url)
    expect(page.locator("#lines code").first).to_contain_text("first-1")
    run_line(page, 0)
    expect(counts(page, "first-1")).to_have_text(["1", "0"])
    assert '"total":1' in run_line(page, 1)


def run_line(page: Page, place: int) -> str:
    """Paste a line of the page into a shell."""
    if shutil.which("curl") is None:
        pytest.skip("no curl to run the page's lines with")
    line = page.locator("#lines code").nth(place).inner_text()
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def test_a_deleted_poll_goes_and_a_new_one_of_its_name_comes(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    mood = polls.make(["happy", "sad"])
    page = pages.open(cluster.nodes[0].url, expected=("status of 404", "status of 410"))
    polls.vote(mood, "happy")
    expect(counts(page, mood)).to_have_text(["1", "0"])
    polls.move(mood, "closed")
    polls.move(mood, "archived")
    polls.delete(mood)
    expect(card(page, mood)).to_have_count(0)
    polls.make(["yes", "no"], id=mood)
    expect(counts(page, mood)).to_have_text(["0", "0"])
    expect(names(page, mood)).to_have_text(["yes", "no"])


def test_a_late_answer_about_the_deleted_poll_does_not_take_the_new_one_away(
    cluster: Cluster, polls: Polls, pages: Pages
) -> None:
    mood = polls.make(["happy", "sad"])
    page = pages.open("about:blank", expected=("status of 410",))
    late: list[Route] = []

    def hold_first(route: Route) -> None:
        if late:
            route.continue_()
        else:
            late.append(route)

    page.route(f"**/polls/{mood}?level=none", hold_first)
    page.goto(cluster.nodes[0].url)
    expect(counts(page, mood)).to_have_text(["0", "0"])
    polls.move(mood, "closed")
    polls.move(mood, "archived")
    polls.delete(mood)
    expect(card(page, mood)).to_have_count(0)
    gone = late[0].fetch()
    assert 410 == gone.status
    polls.make(["yes", "no"], id=mood)
    expect(names(page, mood)).to_have_text(["yes", "no"])
    with page.expect_response(lambda answer: answer.status == 410):
        late[0].fulfill(response=gone)
    polls.make(["a", "b"], title="the next one")
    expect(names(page, "the next one")).to_have_text(["a", "b"])
    expect(names(page, mood)).to_have_text(["yes", "no"])


def test_a_poll_that_was_deleted_while_the_page_was_cut_off_goes(cluster: Cluster, polls: Polls, pages: Pages) -> None:
    gone, kept = polls.make(["happy", "sad"]), polls.make(["happy", "sad"])
    here = cluster.nodes[0]
    page = pages.open(here.url, expected=(*NODES_DIE, "status of 410"))
    expect(counts(page, gone)).to_have_text(["0", "0"])
    page.context.set_offline(True)
    here.kill()  # a stream that is open stays so
    expect(page.locator("#link")).to_have_class("lost")
    polls.move(gone, "closed")
    polls.move(gone, "archived")
    polls.delete(gone)
    page.context.set_offline(False)
    here.start()
    expect(page.locator("#link")).to_have_text("live")
    expect(card(page, gone)).to_have_count(0)
    expect(card(page, kept)).to_have_count(1)
