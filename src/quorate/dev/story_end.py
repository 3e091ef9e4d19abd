"""The end of the story: what was planted in the posts, beside what was counted of it and what the database has."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quorate.client.http import JsonClient
from quorate.errors import QuorateError
from quorate.words import count

COUNTED_S, WRITTEN_S = 12.0, 3.0
LOOK_S = 0.1

Tallies = Mapping[str, Mapping[str, int]]
Connect = Callable[[Sequence[str]], JsonClient]  # makes a client of the nodes with these URLs


def tallies(client: JsonClient) -> dict[str, Mapping[str, int]]:
    """Of all open polls."""
    return {poll["id"]: client.results(poll["id"])["results"] for poll in client.polls("open")["polls"]}


def written_to(connect: Connect, urls: Sequence[str]) -> str:
    """The sinks, once the leader has written everything to them; "" before that."""
    try:
        with connect(urls) as client, connect([client.leader()["http"]]) as leader:
            sinks = leader.status()["sinks"]
    except (QuorateError, KeyError):
        return ""
    return " and ".join(sinks) if sinks and all(sink["caught_up"] for sink in sinks.values()) else ""


class StoryEnd:
    """`truth` is what the generator wrote, `before` what the polls had when it began."""

    def __init__(self, connect: Connect, urls: Sequence[str], truth: Mapping[str, Any], before: Tallies) -> None:
        self._connect, self._urls, self._truth, self._before = connect, urls, truth, before

    def told(self, is_hurried: Callable[[], bool]) -> str:
        """Wait until all is counted and written, but not for long, and say it in a sentence or two."""
        planted = f"{count(self._truth['total'], 'vote')} in {count(self._truth['lines'], 'made-up post')}"
        missing, more = self._wait(COUNTED_S, self._differences, lambda found: not found[0], is_hurried)
        if missing:
            return f"Planted: {planted}. Not counted when it was stopped: {count(missing, 'vote')}."
        others = f", and {count(more, 'vote')} of others" if more else ""
        written = self._wait(WRITTEN_S, lambda: written_to(self._connect, self._urls), bool, is_hurried)
        return (
            f"Planted: {planted}. Counted: exactly these{others}.{f' Written to {written} as well.' if written else ''}"
        )

    def _wait(
        self, seconds: float, look: Callable[[], Any], is_it: Callable[[Any], bool], is_hurried: Callable[[], bool]
    ) -> Any:
        until_s = time.monotonic() + seconds
        while not is_it(found := look()) and time.monotonic() < until_s and not is_hurried():
            time.sleep(LOOK_S)
        return found

    def _differences(self) -> tuple[int, int]:
        """How many planted votes are missing, and how many others there are."""
        try:
            with self._connect(self._urls) as client:
                now = tallies(client)
        except QuorateError:
            return self._truth["total"], 0
        missing = more = 0
        for poll, results in self._truth["votes"].items():
            for option, votes in results.items():
                counted = now.get(poll, {}).get(option, 0) - self._before.get(poll, {}).get(option, 0)
                missing += max(0, votes - counted)
                more += max(0, counted - votes)
        return missing, more
