"""Asks each node for its status, on threads of its own, so that a node that hangs does not stop the display.

There is a thread for each node and one for the tally. Each has one client, and ends within a second after `stop`. The
display reads `views` and `tally`. Their values are replaced and never changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quorate.client.http import JsonClient
from quorate.errors import QuorateError
from quorate.processes.node import Place
from quorate.words import count

POLL_EVERY_S = 0.4
NODE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class NodeView:
    """The last answer of a node. All fields are empty if it does not answer."""

    up: bool = False
    role: str = ""
    term: int = 0
    version: int = 0
    flush: str = ""  # the leader's flush, in words; empty on a follower


@dataclass(frozen=True, slots=True)
class TallyView:
    """The poll that is shown. `rate` is votes a second."""

    poll: str
    title: str
    state: str
    results: Mapping[str, int]
    version: int
    rate: float


class Poller:
    def __init__(self, places: Sequence[Place], poll: str, token: str | None = None) -> None:
        self.views: dict[str, NodeView] = {place.id: NodeView() for place in places}
        self.tally: TallyView | None = None
        self._poll = poll
        self._token = token
        self._places = places
        self._stop = threading.Event()
        polls: list[Callable[[], None]] = [self._tally_poll(), *(self._node_poll(place) for place in places)]
        self._threads = [threading.Thread(target=self._repeat, args=(poll_once,), daemon=True) for poll_once in polls]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Idempotent."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(NODE_TIMEOUT_S + 1)

    def _repeat(self, poll_once: Callable[[], None]) -> None:
        while not self._stop.is_set():
            poll_once()
            self._stop.wait(POLL_EVERY_S)

    def _node_poll(self, place: Place) -> Callable[[], None]:
        client = JsonClient([place.url], timeout_s=NODE_TIMEOUT_S, token=self._token)

        def poll_once() -> None:
            try:
                self.views[place.id] = view_of(client.status())
            except QuorateError:
                self.views[place.id] = NodeView()

        return poll_once

    def _tally_poll(self) -> Callable[[], None]:
        client = JsonClient([place.url for place in self._places], timeout_s=NODE_TIMEOUT_S, token=self._token)
        before: list[tuple[float, int]] = []

        def poll_once() -> None:
            try:
                poll = self._shown(client)
                found = client.results(poll["id"]) if poll else None
            except QuorateError:
                return  # no leader at the moment: the last tally stays
            if poll is None or found is None:
                self.tally = None
                return
            before.append((time.monotonic(), found["total"]))
            del before[:-6]
            rate = _rate(before)
            self.tally = TallyView(poll["id"], poll["title"], found["state"], found["results"], found["version"], rate)

        return poll_once

    def _shown(self, client: JsonClient) -> Any:
        """The sample poll. If it does not exist, the newest open poll."""
        polls = client.polls()["polls"]
        named = [poll for poll in polls if poll["id"] == self._poll]
        return (named or [poll for poll in polls if poll["state"] == "open"][-1:] or [None])[0]


def view_of(status: Mapping[str, Any]) -> NodeView:
    raft = status["raft"]
    leads = raft["role"] == "leader"
    return NodeView(
        up=True,
        role=raft["role"],
        term=raft.get("term", 0),
        version=status["version"],
        flush="; ".join(map(_flush_line, _sinks(status))) if leads else "",
    )


def _sinks(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a node says of each sink. A node of version 0.1.0 has one sink at most and tells it as `flush`."""
    flush = status.get("flush")
    return list(status["sinks"].values()) if "sinks" in status else [flush] if flush else []


def _flush_line(flush: Mapping[str, Any]) -> str:
    """The state of the leader's flush, in words."""
    sink, version = flush["sink"], flush["last_success_version"]
    if flush["last_error"] and not flush["caught_up"]:
        return f"{sink} is behind: {flush['last_error']}"
    if version is None:
        return f"{sink}: nothing written yet"
    waiting = "" if flush["caught_up"] else f", {count(flush['pending_polls'], 'poll')} to write"
    return f"all tallies up to version {version:,} are in {sink}{waiting}"


def _rate(points: Sequence[tuple[float, int]]) -> float:
    (start_s, start), (end_s, end) = points[0], points[-1]
    return max(0.0, (end - start) / (end_s - start_s)) if end_s > start_s else 0.0
