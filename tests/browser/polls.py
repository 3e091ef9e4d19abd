"""Makes polls and votes for the browser tests, and finds them on a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Locator, Page

from quorate.processes.node import NodeProcess
from tests.support.cluster import Cluster


class Polls:
    """The polls of one test. Their ids begin with `prefix`, so that tests can share a cluster."""

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self._cluster, self._prefix = cluster, prefix
        self.ids: list[str] = []  # that were made

    def make(
        self,
        options: Sequence[str],
        *,
        title: str | None = None,
        write_ins: bool = False,
        id: str | None = None,
        state: str = "open",
    ) -> str:
        """Make a poll. Returns its id, which is also its title if none is given."""
        id = id or f"{self._prefix}-{len(self.ids) + 1}"
        self.ids.append(id)
        poll = {"id": id, "title": title or id, "options": list(options), "write_ins": write_ins, "state": state}
        self._post("/polls", poll, 201)
        return id

    def vote(self, poll_id: str, option: str, weight: int = 1, *, at: NodeProcess | None = None) -> None:
        self._post("/votes", {"poll": poll_id, "option": option, "weight": weight}, 200, at=at)

    def add_option(self, poll_id: str, option: str) -> None:
        self._post(f"/polls/{poll_id}", {"add_options": [option]}, 200, method="PATCH")

    def move(self, poll_id: str, state: str) -> None:
        self._post(f"/polls/{poll_id}/state", {"state": state}, 200)

    def delete(self, poll_id: str, creation: int | None = None) -> None:
        which = "" if creation is None else f"?creation={creation}"  # where an earlier poll had the name
        self._post(f"/polls/{poll_id}{which}", {}, 200, method="DELETE")

    def results(self, poll_id: str, at: NodeProcess) -> dict[str, int]:
        found: dict[str, int] = at.get(f"/polls/{poll_id}/results?level=linearizable")["results"]
        return found

    def _post(
        self, path: str, document: dict[str, Any], status: int, *, at: NodeProcess | None = None, method: str = "POST"
    ) -> None:
        node = at or next(node for node in self._cluster.nodes if node.running)
        answer, body, _ = node.ask(method, path, json.dumps(document).encode(), timeout_s=10.0)
        assert status == answer, body.decode()


STEPS = {"open": ("closed", "archived"), "closed": ("archived",)}  # to a state in which a poll may be deleted


def delete_all(cluster: Cluster) -> None:
    """So that the polls of the next test are among those that a page shows."""
    polls = Polls(cluster, "")
    node = next(node for node in cluster.nodes if node.running)
    for poll in cluster.wait_for("the polls are listed", lambda: node.get("/polls"))["polls"]:
        for state in STEPS.get(poll["state"], ()):
            polls.move(quote(poll["id"], safe=""), state)
        polls.delete(quote(poll["id"], safe=""), poll["creation"])


def card(page: Page, title: str) -> Locator:
    """The part of the page that shows the poll."""
    heading = page.get_by_role("heading", level=3, name=title, exact=True)
    return page.get_by_role("article").filter(has=heading)


def option(page: Page, title: str, name: str) -> Locator:
    """The row of an option, found by its exact text."""
    return card(page, title).get_by_role("listitem").filter(has=page.get_by_text(name, exact=True))


def names(page: Page, title: str) -> Locator:
    return card(page, title).locator(".name")


def counts(page: Page, title: str) -> Locator:
    return card(page, title).locator(".count")
