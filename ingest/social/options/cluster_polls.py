"""The open polls of the cluster, page by page of its API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from quorate.client.http import JsonClient
from quorate.ingest.social.options.polls_reader import BoundedPolls, PollsRead
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll

PAGE_POLLS = 16  # a poll has 4 MiB of options at most: so a page has at most as much as any answer of a node


class _OpenPoll(msgspec.Struct):
    """Nodes of 0.1.0 do not tell the number of the creation."""

    id: str
    options: tuple[str, ...]
    creation: int = 0
    created_at: str | None = None
    counts_from: str | None = None

    @property
    def number(self) -> int:
        """0 for the first poll of its name that the cluster remembers. One that was made again counts from its own
        creation on; the first one, from the last deletion that is forgotten."""
        return self.creation if self.counts_from and self.counts_from == self.created_at else 0


class _PollsPage(msgspec.Struct):
    polls: list[_OpenPoll]
    next: str | None = None


class ClusterPolls:
    """`make_client` makes a client for the thread that reads. `rules` are those of polls by id; others have none."""

    def __init__(self, make_client: Callable[[], JsonClient], rules: Mapping[str, Rules]) -> None:
        self._make_client, self._rules = make_client, rules

    def read(self) -> PollsRead:
        found = BoundedPolls()
        cursor: str | None = None
        with self._make_client() as client:
            while True:
                page = _page(client, cursor)
                for poll in page.polls:
                    rules = self._rules.get(poll.id, Rules())
                    found.add(StreamPoll(poll.id, poll.options, rules, poll.number))
                cursor = page.next
                if cursor is None:
                    return PollsRead(found.polls, ruled=self._rules.keys())


def _page(client: JsonClient, cursor: str | None) -> _PollsPage:
    wanted: dict[str, Any] = {"state": "open", "limit": PAGE_POLLS, "cursor": cursor}
    return client.request("GET", "/polls", params=wanted).decode(_PollsPage)
