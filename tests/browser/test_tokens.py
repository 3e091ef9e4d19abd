"""The page asks for a token where one is needed, follows events with it, and forgets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import NODES_DIE, Pages
from tests.browser.polls import Polls, counts, option
from tests.support.cluster import Cluster
from tests.support.tokens import ONE_OF_EACH, write_tokens

REFUSED = ("status of 401", "status of 403")


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return write_tokens(tmp_path / "tokens.toml")


@pytest.fixture
def closed(browser: Browser, tmp_path: Path, tokens: Path) -> Iterator[Cluster]:
    """Nothing is done without a token. It depends on the browser, so that no cluster is started without one."""
    settings = {"auth.file": str(tokens), "auth.anonymous": []}
    with Cluster(tmp_path / "cluster", 1, settings, token="operate") as cluster:
        yield cluster


@pytest.fixture
def readable(browser: Browser, tmp_path: Path, tokens: Path) -> Iterator[Cluster]:
    settings = {"auth.file": str(tokens), "auth.anonymous": ["read"]}
    with Cluster(tmp_path / "cluster", 1, settings, token="operate") as cluster:
        yield cluster


def give(page: Page, token: str) -> None:
    page.get_by_label("A token is needed").fill(token)
    page.get_by_role("button", name="Use it").click()


def test_a_token_is_asked_for_and_the_page_lives_with_it(closed: Cluster, tokens: Path, pages: Pages) -> None:
    polls = Polls(closed, "p")
    mood = polls.make(["happy", "sad"])
    page = pages.open(closed.nodes[0].url, expected=REFUSED)
    expect(page.get_by_label("A token is needed")).to_be_focused()
    expect(page.locator("#link")).to_have_text("a token is needed")
    give(page, "nobody")
    expect(page.locator("#token-why")).to_have_text("This token is not known here, or was revoked.")
    give(page, "read")
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#token")).to_be_hidden()
    expect(counts(page, mood)).to_have_text(["0", "0"])
    polls.vote(mood, "sad")
    expect(counts(page, mood)).to_have_text(["0", "1"])
    expect(option(page, mood, "happy").get_by_role("button")).to_be_disabled()  # it may only read
    page.reload()  # the tab keeps it
    expect(page.locator("#link")).to_have_text("live")
    write_tokens(tokens, {name: role for name, role in ONE_OF_EACH.items() if name != "read"})  # it is revoked
    expect(page.locator("#link")).to_have_text("a token is needed")
    expect(page.locator("#token-why")).to_have_text("This token is not known here, or was revoked.")
    give(page, "vote")
    expect(page.locator("#link")).to_have_text("live")
    option(page, mood, "happy").get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("counted: happy")
    expect(counts(page, mood)).to_have_text(["1", "1"])
    expect(page.get_by_role("button", name="New poll")).to_be_hidden()
    page.get_by_role("button", name="Forget the token").click()
    expect(page.get_by_label("A token is needed")).to_be_visible()
    give(page, "manage")
    expect(page.get_by_role("button", name="New poll")).to_be_visible()
    page.get_by_role("button", name=f"Close: {mood}").click()
    expect(page.locator("#toast")).to_have_text(f"closed: {mood}")
    page.get_by_text("The cluster in detail").click()
    expect(page.locator("#cluster-nodes")).to_be_visible()
    expect(page.get_by_role("heading", name="Members")).to_be_hidden()
    page.get_by_role("button", name="Forget the token").click()
    give(page, "operate")
    page.get_by_text("The cluster in detail").click()
    expect(page.get_by_role("button", name="Hand the leadership over")).to_be_visible()
    expect(page.locator("#members tbody tr")).to_have_count(1)


def test_where_all_may_read_only_a_vote_asks_for_one(readable: Cluster, pages: Pages) -> None:
    polls = Polls(readable, "p")
    mood = polls.make(["happy", "sad"])
    page = pages.open(readable.nodes[0].url, expected=REFUSED)
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#token")).to_be_hidden()
    page.get_by_role("button", name="Use a token").click()
    expect(page.get_by_label("Your token")).to_be_focused()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#token")).to_be_hidden()
    expect(page.get_by_role("button", name="New poll")).to_be_hidden()
    option(page, mood, "happy").get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("not counted: a token is needed")
    give(page, "vote")
    expect(page.locator("#who")).to_have_text("signed in as vote (vote)")
    option(page, mood, "happy").get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("counted: happy")
    expect(counts(page, mood)).to_have_text(["1", "0"])
    expect(page.locator("#lines code").first).to_contain_text('-H "Authorization: Bearer $TOKEN"')


def test_a_token_goes_on_with_the_page_at_another_node(browser: Browser, tmp_path: Path, pages: Pages) -> None:
    file = write_tokens(tmp_path / "tokens.toml")
    settings = {"auth.file": str(file), "auth.anonymous": []}
    with Cluster(tmp_path / "cluster", 3, settings, token="operate") as cluster:
        polls = Polls(cluster, "p")
        mood = polls.make(["happy", "sad"])
        page = pages.open(cluster.nodes[0].url, expected=(*REFUSED, *NODES_DIE))
        give(page, "vote")
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("#served")).to_contain_text("answered by")
        cluster.nodes[0].kill()
        option(page, mood, "happy").get_by_role("button").click()
        expect(page.locator("#toast")).to_have_text("counted: happy")
        expect(page.locator("#moved-words")).to_contain_text("The page goes on at")
        expect(page.locator("#link")).to_have_text("live")
        expect(counts(page, mood)).to_have_text(["1", "0"])
        expect(page.locator("#token")).to_be_hidden()
        assert {"happy": 1, "sad": 0} == polls.results(mood, cluster.nodes[1])
