"""Bluesky's Jetstream, v2 and v1, for tests and for demonstrations: a real server that checks its client.

    python -m tests.doubles.social.jetstream --port 8112

It numbers what is said, keeps it, and repeats it from a cursor on. It refuses what Jetstream refuses: parameters of v1
at v2, cursors that are too old, dictionaries that it does not know. A client that sends a message does wrong.
"""

from __future__ import annotations

import contextlib
import functools
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec

from quorate.ingest.social.reading.compressed import zstd
from tests.doubles.social.double import Double, Request, arguments, serve_for_ever
from tests.doubles.social.web_socket_answer import ClientGone, WebSocketAnswer

EVENTS = "/xrpc/network.bsky.jetstream.subscribeEvents"
DICTIONARY = "/xrpc/network.bsky.jetstream.getZstdDictionary"
OLD_EVENTS = "/subscribe"
POSTS = "app.bsky.feed.post"
TIMES_FROM = 10**15
LOOK_S = 0.02

Fault = Literal["hang_up", "half", "reset", "close", "too_slow", "stall"]


@dataclass(slots=True)
class JetstreamTerms:
    """`versions` that are served; `compresses`: there is a dictionary. `any_path`: they are so at each path."""

    versions: tuple[int, ...] = (2, 1)
    compresses: bool = True
    any_path: bool = False


class Said(msgspec.Struct, frozen=True):
    seq: int
    time_us: int
    did: str
    rkey: str
    record: dict[str, Any] | None
    operation: str


class JetstreamDouble(Double):
    orders = (
        "say",
        "send",
        "publish_posts",
        "forget",
        "forget_before",
        "fail",
        "fail_often",
        "answer_next",
        "begin_anew",
        "count",
    )

    def __init__(
        self,
        terms: JetstreamTerms | None = None,
        *,
        port: int = 0,
        first_seq: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(port=port, clock=clock)
        self.terms = terms or JetstreamTerms()
        self.said: list[Said] = []
        self.cursors: list[int | None] = []  # that were asked for, of all connections
        self.is_packed: list[bool] = []  # whether these got their messages compressed
        self.statuses: list[int] = []
        self.asked_for: list[str] = []
        self.faults = 0
        self._live: list[_Stream] = []
        self._next: deque[tuple[int, dict[str, Any]]] = deque()
        self._floor = 0  # index of the oldest that is kept
        self._first_seq = first_seq
        self._changed = threading.Condition(self.lock)
        self._often: random.Random | None = None
        self._often_left, self._often_within = 0, 0
        self._dictionary_number = 1
        self._is_closing = False

    @property
    def url(self) -> str:
        return self.base.replace("http", "ws", 1)

    @property
    def live(self) -> int:
        with self.lock:
            return len(self._live)

    # ---- what a test has it do --------------------------------------------------------------------------------------

    def say(self, *texts: str, tags: tuple[str, ...] = (), did: str = "did:plc:ana", operation: str = "create") -> None:
        for text in texts:
            facets = [{"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": tag}]} for tag in tags]
            self.send({"$type": POSTS, "text": text, "facets": facets}, did=did, operation=operation)

    def send(self, record: dict[str, Any] | None, *, did: str = "did:plc:ana", operation: str = "create") -> None:
        with self._changed:
            seq = self._first_seq + len(self.said)
            last_us = self.said[-1].time_us if self.said else 0
            time_us = max(last_us + 1, int(time.time() * 1e6))
            self.said.append(Said(seq, time_us, did, f"key{seq}", record, operation))
            self._changed.notify_all()

    def publish_posts(self, file: str) -> int:
        """The posts of a file, as `quorate stream generate` writes it."""
        lines = Path(file).read_bytes().splitlines()
        for line in lines:
            post = msgspec.json.decode(line)
            operation = "update" if post["is_edit"] else "create"
            self.say(post["text"], tags=tuple(post["tags"]), did=f"did:plc:{post['author']}", operation=operation)
        return len(lines)

    def forget(self, keep: int) -> None:
        """All but the last ones."""
        with self.lock:
            before, self._floor = self._floor, max(0, len(self.said) - keep)
            for at in range(before, self._floor):
                self.said[at] = msgspec.structs.replace(self.said[at], record=None)

    def count(self) -> int:
        return len(self.said)

    def forget_before(self, index: int) -> None:
        with self.lock:
            self._floor = index

    def begin_anew(self) -> None:
        """As an instance whose disk was lost: its numbers are small again."""
        with self._changed:
            self.said, self._floor, self._first_seq = [], 0, 1
        self.fail("hang_up")

    def fail(self, fault: Fault) -> None:
        """All connections that there are."""
        with self._changed:
            for stream in self._live:
                stream.fault = fault
            self._changed.notify_all()

    def fail_often(self, times: int, seed: int, within: int = 40) -> None:
        """So many of the next connections break, each after at most `within` events."""
        with self.lock:
            self._often, self._often_left, self._often_within = random.Random(seed), times, within

    def answer_next(self, status: int, body: dict[str, Any] | None = None) -> None:
        self._next.append((status, body or {}))

    def new_dictionary(self) -> None:
        """The old one is not known any more."""
        self._dictionary_number += 1

    def seen(self) -> dict[str, Any]:
        return {
            **super().seen(),
            "connections": len(self.cursors),
            "cursors": self.cursors,
            "statuses": self.statuses,
            "faults": self.faults,
        }

    def close_connections(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    # ---- what a client asks -----------------------------------------------------------------------------------------

    def answer(self, request: Request) -> None:
        self.asked_for.append(request.path)
        if request.path == DICTIONARY and self.terms.compresses and 2 in self.terms.versions:
            request.reply(200, self.dictionary.dict_content, {"Content-Type": "application/octet-stream"})
            return
        refusal = self._next.popleft() if self._next else self._refusal(request)
        if refusal is not None:
            self.statuses.append(refusal[0])
            request.reply(*refusal)
            return
        with contextlib.suppress(OSError, ClientGone):
            self._serve(request)

    @property
    def dictionary(self) -> zstd.ZstdDict:
        return _dictionary(self._dictionary_number)

    def _refusal(self, request: Request) -> tuple[int, dict[str, Any]] | None:
        version = {EVENTS: 2, OLD_EVENTS: 1}.get(request.path)
        if self.terms.any_path and version not in self.terms.versions:
            return None
        if version not in self.terms.versions:
            return 404, {"error": "NotFound"}
        if version == 1:
            return None
        params = parse_qs(request.query)
        if "wantedCollections" in params or params.get("kinds") != ["commit"] or params.get("collections") != [POSTS]:
            self.blame(f"it asked for {request.query}")
            return 400, {"error": "InvalidRequest"}
        if (wanted := request.params.get("zstdDictionary")) and int(wanted) != self.dictionary.dict_id:
            return 400, {"error": "UnknownZstdDictionary", "message": f"current is {self.dictionary.dict_id}"}
        cursor = int(request.params.get("cursor", -1))
        floor = self._first_seq + self._floor
        if 0 <= cursor < floor and cursor < TIMES_FROM:
            return 400, {"error": "CursorTooOld", "message": f"cursor is below the floor {floor}"}
        return None

    def _serve(self, request: Request) -> None:
        is_old = request.path == OLD_EVENTS or 2 not in self.terms.versions
        cursor = int(request.params["cursor"]) if "cursor" in request.params else None
        dictionary = self.dictionary if "zstdDictionary" in request.params and not is_old else None
        self.statuses.append(101)
        stream = _Stream(WebSocketAnswer(request), dictionary)
        with self._changed:
            self.cursors.append(cursor)
            self.is_packed.append(dictionary is not None)
            stream.at, is_clamped = self._index(cursor)
            self._live.append(stream)
            if self._often is not None and self._often_left:
                self._often_left -= 1
                stream.break_after = self._often.randint(0, self._often_within)
        try:
            if is_clamped and not is_old:
                stream.send(_encoded(_message({"$type": f"{EVENTS[6:]}#info", "name": "OutdatedCursor"})))
            while self._send_next(stream, is_old=is_old):
                if stream.answer.received():
                    self.blame("it sent a message")
        finally:
            with self._changed:
                self._live.remove(stream)

    def _index(self, cursor: int | None) -> tuple[int, bool]:
        """From where on, and whether that is later than what was asked for."""
        if cursor is None:
            return len(self.said), False
        if cursor < TIMES_FROM:
            asked = cursor - self._first_seq
        else:
            asked = next((at for at, each in enumerate(self.said) if each.time_us >= cursor), len(self.said))
        return min(max(asked, self._floor), len(self.said)), asked < self._floor or (cursor == TIMES_FROM)

    def _send_next(self, stream: _Stream, *, is_old: bool) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: stream.at < len(self.said) or stream.fault or self._is_closing, LOOK_S)
            if self._is_closing:
                return False
            fault = stream.fault
            events = [] if fault else self.said[stream.at : stream.at + 100]
            if stream.break_after is not None and len(events) >= stream.break_after:
                assert self._often is not None
                events, fault = events[: stream.break_after], self._often.choice(["hang_up", "half", "reset", "close"])
            elif stream.break_after is not None:
                stream.break_after -= len(events)
        for said in events:
            stream.send(_encoded(_bare(said) if is_old else frame_of(said)))
        stream.at += len(events)
        if fault is None:
            return True
        self.faults += 1
        stream.end(fault, _encoded(_bare(self.said[0]) if is_old else frame_of(self.said[0])) if self.said else "{}")
        return False


class _Stream:
    """One connection."""

    def __init__(self, answer: WebSocketAnswer, dictionary: zstd.ZstdDict | None) -> None:
        self.answer = answer
        self.at = 0
        self.fault: Fault | None = None
        self.break_after: int | None = None
        self._dictionary = dictionary

    def send(self, text: str) -> None:
        self.answer.send(self._packed(text))

    def end(self, fault: Fault, text: str) -> None:
        if fault == "half":
            self.answer.send_half(self._packed(text))
        elif fault == "reset":
            self.answer.reset()
        elif fault == "close":
            self.answer.close(1001)
        elif fault == "too_slow":
            self.send(_encoded({"$type": "error", "error": "ConsumerTooSlow", "message": "behind"}))
            self.answer.close(1008)
        elif fault == "stall":
            self.answer.stall()

    def _packed(self, text: str) -> str | bytes:
        if self._dictionary is None:
            return text
        return zstd.compress(text.encode(), zstd_dict=self._dictionary)


@functools.cache
def _dictionary(number: int) -> zstd.ZstdDict:
    samples = [_encoded(frame_of(_sample(each, number))).encode() for each in range(2_000)]
    return zstd.finalize_dict(zstd.train_dict(samples, 8 * 1024), samples, 8 * 1024, 3)


def frame_of(said: Said) -> dict[str, Any]:
    payload = {
        "$type": f"{EVENTS[6:]}#commit",
        "seq": said.seq,
        "did": said.did,
        "time": datetime.fromtimestamp(said.time_us / 1e6, UTC).isoformat(timespec="microseconds"),
        "rev": "3l3qo2vutsw2b",
        "operation": said.operation,
        "collection": POSTS,
        "rkey": said.rkey,
    }
    return _message(payload if said.record is None else {**payload, "record": said.record})


def _bare(said: Said) -> dict[str, Any]:
    commit: dict[str, Any] = {"operation": said.operation, "collection": POSTS, "rkey": said.rkey}
    if said.record is not None:
        commit["record"] = said.record
    return {"did": said.did, "time_us": said.time_us, "kind": "commit", "commit": commit}


def _sample(at: int, number: int) -> Said:
    record = {"$type": POSTS, "text": f"sample {at} of {number}", "langs": ["en"]}
    return Said(at, 1_700_000_000_000_000 + at * 977, f"did:plc:sample{at * 7919}", f"key{at}", record, "create")


def _message(payload: dict[str, Any]) -> dict[str, Any]:
    return {"$type": "message", "payload": payload}


def _encoded(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


def main() -> None:
    given = arguments(__doc__).parse_args()
    serve_for_ever(JetstreamDouble(port=given.port))


if __name__ == "__main__":
    main()
