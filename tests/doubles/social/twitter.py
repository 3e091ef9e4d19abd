"""Twitter's v1.1 `statuses/filter`, for tests and for demonstrations: a real server that checks its client.

    python -m tests.doubles.social.twitter --port 8111

It checks the signature with oauthlib, the nonce, the time, the form, the limits of `track`, and the pauses between
connects. A further connection of the same account ends the oldest one, as Twitter does it, or is refused.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.doubles.social.attempts import Attempts
from tests.doubles.social.double import Double, Request, arguments, serve_for_ever
from tests.doubles.social.live_answer import Fault, LiveAnswer
from tests.doubles.social.oauth1 import OAuthAccount, OAuthCheck

PATH = "/1.1/statuses/filter.json"
FIRST_ID = 1_700_000_000_000_000_000


@dataclass(slots=True)
class TwitterTerms:
    """What the server grants. `second`: what becomes of a second connection."""

    phrases: int = 400
    phrase_bytes: int = 60
    second: Literal["replace", "refuse"] = "replace"
    keep_alive_s: float = 30.0
    gzip: bool = False
    connects: int = 50
    chunk_bytes: int = 0  # cuts what is sent, within characters too; 0: a chunk a line


@dataclass(slots=True)
class FilterConnection:
    track: list[str]
    answer: LiveAnswer
    words: list[set[str]] = field(default_factory=list)

    def wants(self, text: str) -> bool:
        """Signs in a post do not matter, and those in a phrase do: Twitter's documents say so of `track`."""
        folded = text.casefold()
        found = {*re.findall(r"\w+", folded), *re.findall(r"#\w+", folded), *re.findall(r"\w+'\w+", folded)}
        return any(words <= found for words in self.words)


class TwitterDouble(Double):
    orders = ("say", "send", "answer_next", "fail")

    def __init__(
        self,
        terms: TwitterTerms | None = None,
        *,
        account: OAuthAccount | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(port=port, clock=clock)
        self.terms, self.account = terms or TwitterTerms(), account or OAuthAccount()
        self.attempts = Attempts(clock, self.blame, limit=self.terms.connects)
        self.connections: list[FilterConnection] = []  # all there ever were
        self.statuses: list[int] = []
        self._oauth = OAuthCheck(self.account)
        self._next: deque[tuple[int, dict[str, str]]] = deque()
        self._said = 0

    @property
    def url(self) -> str:
        return self.base + PATH

    @property
    def live(self) -> list[FilterConnection]:
        return [each for each in list(self.connections) if each.answer.is_open]

    # ---- what a test has it do --------------------------------------------------------------------------------------

    def say(self, text: str, author: str = "7", **fields: Any) -> str:
        """A person posts this. It goes to the connections that track it."""
        with self.lock:
            self._said += 1
            id = str(FIRST_ID + self._said)
        now_ms = str(time.time_ns() // 1_000_000)
        status = {"id": int(id), "id_str": id, "text": text, "user": {"id_str": author}, "timestamp_ms": now_ms}
        line = json.dumps({**status, **fields}).encode() + b"\r\n"
        for each in self.live:
            if each.wants(text):
                each.answer.push(line)
        return id

    def send(self, message: object) -> None:
        """A message about the stream, or raw bytes, to all connections."""
        line = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\r\n"
        for each in self.live:
            each.answer.push(line)

    def answer_next(self, status: int, headers: dict[str, str] | None = None) -> None:
        """To the next connect that nobody has an answer for yet. Status 0: hang up without one."""
        self._next.append((status, headers or {}))

    def fail(self, fault: Fault, line: str = "") -> None:
        for each in self.live:
            each.answer.fail(fault, line.encode())

    def close_connections(self) -> None:
        self.fail("hang_up")

    def seen(self) -> dict[str, Any]:
        tracks = [each.track for each in self.live]
        return {**super().seen(), "statuses": self.statuses[-50:], "tracks": tracks, "said": self._said}

    # ---- what its client asks ---------------------------------------------------------------------------------------

    def answer(self, request: Request) -> None:
        with self.lock:
            status, headers = self._judge(request)
            self.statuses.append(status)
            if status:
                if status != 200:
                    self.attempts.answered(status, headers)
            else:
                self.attempts.cut()
        if not status:
            request.handler.close_connection = True
        elif status != 200:
            request.reply(status, f"no: {status}".encode(), headers)
        else:
            self._stream(request)

    def _judge(self, request: Request) -> tuple[int, dict[str, str]]:
        self.attempts.made()
        if self._next:
            return self._next.popleft()
        if request.path != PATH:
            return 404, {}
        if request.method != "POST" or not request.headers.get("User-Agent", "").startswith("quorate/"):
            self.blame(f"{request.method} by {request.headers.get('User-Agent')}")
        if not self._oauth.is_right(request.url, request.method, request.body, dict(request.headers)):
            return 401, {}
        if self.attempts.is_too_many or (self.live and self.terms.second == "refuse"):
            return 420, {}
        return self._judge_track(request.form), {}

    def _judge_track(self, form: dict[str, str]) -> int:
        if form.get("stall_warnings") != "true":
            self.blame("it does not ask for warnings of stalls")
        phrases = form.get("track", "").split(",")
        if len(phrases) > self.terms.phrases:
            return 413
        return 200 if all(1 <= len(each.encode()) <= self.terms.phrase_bytes for each in phrases) else 406

    def _stream(self, request: Request) -> None:
        gzip = self.terms.gzip and "gzip" in request.headers.get("Accept-Encoding", "")
        answer = LiveAnswer(keep_alive_s=self.terms.keep_alive_s, gzip=gzip, chunk_bytes=self.terms.chunk_bytes)
        track = request.form["track"].split(",")
        words = [set(phrase.casefold().split()) for phrase in track]
        with self.lock:
            for older in self.live:
                older.answer.push(b'{"disconnect":{"code":7,"stream_name":"t","reason":"admin logout"}}\r\n')
                older.answer.fail("end")
            answer.push(b"\r\n")  # before a test that sees the connection has it fail
            self.attempts.delivered()
            self.connections.append(FilterConnection(track, answer, words))
        answer.serve(request.handler, {"Content-Type": "application/json"})


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--second", choices=["replace", "refuse"], default="replace")
    parser.add_argument("--keep-alive-s", type=float, default=30.0)
    parser.add_argument("--gzip", action="store_true")
    flags = parser.parse_args()
    terms = TwitterTerms(second=flags.second, keep_alive_s=flags.keep_alive_s, gzip=flags.gzip)
    serve_for_ever(TwitterDouble(terms, port=flags.port))


if __name__ == "__main__":
    main()
