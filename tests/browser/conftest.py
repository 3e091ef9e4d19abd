"""One cluster and one browser for the suite; each test has polls and pages of its own.

A page fails its test if anything in it threw, wrote an error, or was refused by the page's own security policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, expect, sync_playwright

from tests.browser import chromium
from tests.browser.polls import Polls
from tests.support.cluster import Cluster

NODES_DIE = ("net::ERR_", "status of 503", "status of 504")  # what the browser itself reports of a node that was killed

expect.set_options(timeout=30_000)


class Pages:
    """Opens pages and keeps what went wrong in them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.errors: list[str] = []

    def open(self, url: str, *, expected: tuple[str, ...] = (), **context: Any) -> Page:
        """The page at `url`. Errors that hold one of the `expected` words are part of the test."""

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error" and not any(words in message.text for words in expected):
                self.errors.append(message.text)

        def on_dialog(dialog: Dialog) -> None:
            self.errors.append(f"a dialog: {dialog.message}")
            dialog.dismiss()

        page = self._browser.new_context(**context).new_page()
        page.on("console", on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", on_dialog)
        page.goto(url)
        return page

    def close(self) -> None:
        for context in self._browser.contexts:
            context.close()


@pytest.fixture(scope="package")  # not longer: while the driver runs, asyncio.run works nowhere else in this thread
def browser() -> Iterator[Browser]:
    path = chromium.find()
    if path is None:
        pytest.skip("no Chromium: python -m tests.browser.chromium")  # which says how to get one
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS), chromium_sandbox=False)
        yield started
        started.close()


@pytest.fixture(scope="package")
def shared_cluster(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """After the browser: no cluster is started where there is none."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """Whole when the test gets it; what it killed is started again for the next."""
    yield shared_cluster
    if not all(node.running for node in shared_cluster.nodes):
        shared_cluster.start()
        shared_cluster.wait_whole()


@pytest.fixture
def pages(browser: Browser) -> Iterator[Pages]:
    made = Pages(browser)
    yield made
    made.close()
    assert [] == made.errors


@pytest.fixture(scope="package")
def numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def polls(cluster: Cluster, numbers: Iterator[int]) -> Polls:
    return Polls(cluster, f"p{next(numbers)}")


@pytest.fixture
def alone(browser: Browser, tmp_path: Path) -> Iterator[Cluster]:
    """A new node that knows no poll."""
    with Cluster(tmp_path, size=1) as started:
        yield started
