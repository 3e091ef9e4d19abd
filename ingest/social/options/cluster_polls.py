"""The open polls of the cluster, by its API."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quorate.client.http import Client
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll


class ClusterPolls:
    """`make_client` makes a client for the thread that reads. `rules` are those of polls by id; others have none."""

    def __init__(self, make_client: Callable[[], Client], rules: Mapping[str, Rules]) -> None:
        self._make_client, self._rules = make_client, rules

    def read(self) -> list[StreamPoll]:
        with self._make_client() as client:
            polls = client.polls("open")["polls"]
        return [StreamPoll(p["id"], tuple(p["options"]), self._rules.get(p["id"], Rules())) for p in polls]
