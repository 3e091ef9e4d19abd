"""A relay of Nostr (NIP-01, NIP-67), for tests and for demonstrations: a real server that checks its client.

    python -m tests.doubles.social.nostr --port 8113

It stores what is said, and sends it newest first, never more than `page` at once. It checks that filters and
subscriptions are what NIP-01 allows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.doubles.social.double import Double, Request, arguments, serve_for_ever
from tests.doubles.social.web_socket_answer import ClientGone, WebSocketAnswer

LOOK_S = 0.004
SUBSCRIPTIONS_MAX = 10
FILTER_KEYS = {"ids", "authors", "kinds", "since", "until", "limit", "#t"}

Fault = Literal["hang_up", "half", "reset", "close", "stall"]
Event = dict[str, Any]


@dataclass(slots=True)
class RelayTerms:
    """`page`: how many stored events it sends for a request. `tells_end`: EOSE says if that was all. `heeds_filters`:
    it sends what is asked for alone."""

    page: int = 500
    tells_end: bool = False
    heeds_filters: bool = True


@dataclass(slots=True)
class _Client:
    answer: WebSocketAnswer
    at: int
    subscriptions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    fault: Fault | None = None
    break_after: int | None = None


class RelayDouble(Double):
    orders = ("say", "fail", "fail_often", "answer_next", "close_next", "count")

    def __init__(
        self, terms: RelayTerms | None = None, *, port: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(port=port, clock=clock)
        self.terms = terms or RelayTerms()
        self.stored: list[Event] = []
        self.requests: list[tuple[str, list[dict[str, Any]]]] = []
        self.faults = 0
        self._clients: list[_Client] = []
        self._next: deque[int] = deque()
        self._close_next: deque[str] = deque()
        self._changed = threading.Condition(self.lock)
        self._often: random.Random | None = None
        self._often_left, self._often_within = 0, 0
        self._is_closing = False

    @property
    def url(self) -> str:
        return self.base.replace("http", "ws", 1)

    @property
    def live(self) -> int:
        """How many clients have the live subscription."""
        with self.lock:
            return sum("live" in each.subscriptions for each in self._clients)

    # ---- what a test has it do --------------------------------------------------------------------------------------

    def say(self, *texts: str, tags: tuple[str, ...] = (), author: str = "a" * 64, at_s: int | None = None) -> None:
        for text in texts:
            self.send(note(text, tags, author, int(time.time()) if at_s is None else at_s))

    def send(self, event: Event) -> None:
        with self._changed:
            self.stored.append(event)
            self._changed.notify_all()

    def count(self) -> int:
        return len(self.stored)

    def fail(self, fault: Fault) -> None:
        with self._changed:
            for client in self._clients:
                client.fault = fault
            self._changed.notify_all()

    def fail_often(self, times: int, seed: int, within: int = 40) -> None:
        with self.lock:
            self._often, self._often_left, self._often_within = random.Random(seed), times, within

    def answer_next(self, status: int) -> None:
        self._next.append(status)

    def close_next(self, reason: str) -> None:
        """The next subscription is closed, with this reason."""
        self._close_next.append(reason)

    def seen(self) -> dict[str, Any]:
        return {**super().seen(), "requests": len(self.requests), "faults": self.faults}

    def close_connections(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    # ---- what a client asks -----------------------------------------------------------------------------------------

    def answer(self, request: Request) -> None:
        if self._next:
            request.reply(self._next.popleft())
            return
        with contextlib.suppress(OSError, ClientGone):
            self._serve(_Client(WebSocketAnswer(request), 0))

    def _serve(self, client: _Client) -> None:
        with self.lock:
            client.at = len(self.stored)
            self._clients.append(client)
            if self._often is not None and self._often_left:
                self._often_left -= 1
                client.break_after = self._often.randint(0, self._often_within)
        try:
            while not self._is_closing and self._send_live(client):
                for message in client.answer.received():
                    self._take(client, json.loads(message))
        finally:
            with self.lock:
                self._clients.remove(client)

    def _take(self, client: _Client, message: list[Any]) -> None:
        kind, subscription, *filters = message
        if kind == "CLOSE":
            client.subscriptions.pop(subscription, None)
            return
        if kind != "REQ" or not filters or len(subscription) > 64 or any(set(each) - FILTER_KEYS for each in filters):
            self.blame(f"it sent {message}")
            return
        if self._close_next:
            _send(client, ["CLOSED", subscription, self._close_next.popleft()])
            return
        with self.lock:
            self.requests.append((subscription, filters))
            client.subscriptions[subscription] = filters
            client.at = len(self.stored)  # what is stored now is sent as stored
            found = [each for each in self.stored if self._is_sent(each, filters)]
        if len(client.subscriptions) > SUBSCRIPTIONS_MAX:
            self.blame("it has too many subscriptions")
        found.sort(key=lambda each: each["created_at"], reverse=True)
        for event in found[: self.terms.page]:
            if not self._count_down(client):
                return
            _send(client, ["EVENT", subscription, event])
        is_all = self.terms.tells_end and len(found) <= self.terms.page
        _send(client, ["EOSE", subscription, *(["finish"] if is_all else [])])

    def _is_sent(self, event: Event, filters: list[dict[str, Any]]) -> bool:
        asked = any(_fits(event, each) for each in filters)
        return asked or (not self.terms.heeds_filters and event["created_at"] <= filters[0].get("until", 2**62))

    def _count_down(self, client: _Client) -> bool:
        """False: now it breaks."""
        if client.break_after is None:
            return True
        client.break_after -= 1
        if client.break_after >= 0:
            return True
        assert self._often is not None
        client.fault = self._often.choice(["hang_up", "half", "reset", "close"])
        return False

    def _send_live(self, client: _Client) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: client.at < len(self.stored) or client.fault or self._is_closing, LOOK_S)
            events = [] if client.fault else self.stored[client.at :]
            client.at += len(events)
            subscriptions = dict(client.subscriptions)
        for event in events:
            for subscription, filters in subscriptions.items():
                if self._is_sent(event, filters):
                    if not self._count_down(client):
                        break
                    _send(client, ["EVENT", subscription, event])
        if client.fault is None:
            return True
        self.faults += 1
        self._end(client, client.fault)
        return False

    @staticmethod
    def _end(client: _Client, fault: Fault) -> None:
        if fault == "half":
            client.answer.send_half(json.dumps(["NOTICE", "half a message"]))
        elif fault == "reset":
            client.answer.reset()
        elif fault == "close":
            client.answer.close(1001)
        elif fault == "stall":
            client.answer.stall()


def note(
    text: str, tags: tuple[str, ...] = (), author: str = "a" * 64, at_s: int = 1_700_000_000, kind: int = 1
) -> Event:
    """An event whose id is what NIP-01 says."""
    pairs = [["t", tag] for tag in tags]
    signed = json.dumps([0, author, at_s, kind, pairs, text], separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(signed.encode()).hexdigest()
    event = {"id": digest, "pubkey": author, "created_at": at_s, "kind": kind, "tags": pairs, "content": text}
    return {**event, "sig": "0"}


def _fits(event: Event, asked: dict[str, Any]) -> bool:
    tags = {tag[1] for tag in event["tags"] if tag[0] == "t"}
    return (
        event["kind"] in asked.get("kinds", [event["kind"]])
        and asked.get("since", 0) <= event["created_at"] <= asked.get("until", 2**62)
        and ("#t" not in asked or bool(tags & set(asked["#t"])))
    )


def _send(client: _Client, message: list[Any]) -> None:
    client.answer.send(json.dumps(message))


def main() -> None:
    given = arguments(__doc__).parse_args()
    serve_for_ever(RelayDouble(port=given.port))


if __name__ == "__main__":
    main()
