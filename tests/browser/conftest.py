"""One cluster and one browser for the suite. Each test has its own polls and pages.

A test fails if its page throws, logs an error, or is refused something by its content security policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, expect, sync_playwright

from tests.browser import chromium
from tests.browser.polls import Polls, delete_all
from tests.support.cluster import Cluster

# Errors that the browser reports when a node was killed, and when it is back: as it starts, it knows no other members,
# so the page of another one is a stranger's.
NODES_DIE = ("net::ERR_", "status of 503", "status of 504", "blocked by CORS policy", "status of 403")

expect.set_options(timeout=30_000)


class Pages:
    """Opens pages and records their errors."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.errors: list[str] = []

    def open(self, url: str, *, expected: tuple[str, ...] = (), **context: Any) -> Page:
        """Open the page at `url`. Errors with one of the `expected` words are part of the test."""

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


@pytest.fixture(scope="package")  # only here, because asyncio.run cannot be used on this thread while the driver runs
def browser() -> Iterator[Browser]:
    path = chromium.find()
    if path is None:
        pytest.skip("no Chromium: python -m tests.browser.chromium")  # the text says how to get one
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS), chromium_sandbox=False)
        yield started
        started.close()


@pytest.fixture(scope="package")
def shared_cluster(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """It depends on the browser, so that no cluster is started without one."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """A cluster that is whole, without polls. Nodes that a test killed are started again for the next test."""
    delete_all(shared_cluster)  # now, when no page is open that would ask for them
    yield shared_cluster
    if not all(node.running for node in shared_cluster.nodes):
        shared_cluster.start()
    shared_cluster.wait_whole()  # a test may have started them just now


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
    """A new node without polls."""
    with Cluster(tmp_path, size=1) as started:
        yield started
