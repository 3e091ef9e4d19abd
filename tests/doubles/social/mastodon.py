"""An instance of Mastodon, as a double: live feeds that forget, timelines that do not, its limits, faults on demand.

    python -m tests.doubles.social.mastodon --port 3000 --token secret

It checks its client: the token and its scopes, one connection for each feed, 300 questions in five minutes, and no
return before the time that it was told.
"""

from __future__ import annotations

import contextlib
import datetime
import html
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from tests.doubles.social.double import Double, Request, arguments, serve_for_ever
from tests.doubles.social.sse_answer import Cut, Fault, SseAnswer, wait_for_client

LIMIT, WINDOW_S = 300, 300.0
PAGE_MAX = 40
LOOK_S = 0.05
LIVE = {"": "public", "/local": "local", "/remote": "remote"}
VIEW_FEEDS = 0x100000

Status = dict[str, Any]


class MastodonDouble(Double):
    """`faults` are for the streams to come, one each; after them `cut` says after how many bytes one ends.

    `refusals` are for the questions to come: a status and headers each. `refused` are paths, and how they are refused.
    `before_empty` is called once, when an empty page of a timeline is known, and before it is sent.
    """

    orders = ("post_many", "post", "fail")

    def __init__(
        self,
        *,
        token: str = "secret",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        cut: Callable[[], int | None] = lambda: None,
        thump_s: float = 15.0,
        streaming: str = "",
        access: dict[str, dict[str, str]] | None = None,
        permissions: int | None = 0x10000,
        limit: int = LIMIT,
    ) -> None:
        super().__init__(port=port, clock=clock)
        self.statuses: list[Status] = []  # in the order in which they arrived
        self.faults: list[Fault] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.refused: dict[str, int] = {}
        self.before_empty: Callable[[], None] | None = None
        self.scopes = ["read"]
        self.access = access
        self.asked: list[str] = []  # the paths of questions, with what stands behind their ?
        self.streams = Counter[str]()  # connections by feed
        self.times: list[tuple[str, float]] = []  # when it was asked for which path
        self._token, self._cut, self._thump_s, self._streaming = token, cut, thump_s, streaming
        self._permissions, self._limit = permissions, limit
        self._history: dict[str, list[Status]] = {}
        self._events: list[tuple[str, Status]] = []
        self._grown = threading.Condition()
        self._open = Counter[str]()
        self._questions: list[float] = []
        self._sequence = 0
        self._is_closing = False
        self._not_before_s = 0.0

    # ---- what happens in the world ----------------------------------------------------------------------------------

    def post(
        self, text: str = "", *, tags: tuple[str, ...] = (), ms: int = 0, acct: str = "ann", **fields: Any
    ) -> Status:
        """`ms`: when it was written. One of another server may have been written long before it arrives."""
        ms = ms or int(time.time() * 1000)
        with self._grown:
            self._sequence += 1
            status_id = str((ms << 16) | (self._sequence & 0xFFFF))
            status = self._status(status_id, text, tags, ms, acct) | fields
            self.statuses.append(status)
            self._history[status_id] = [status]
            self._tell("update", status)
            return status

    def _status(self, status_id: str, text: str, tags: tuple[str, ...], ms: int, acct: str) -> Status:
        moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).isoformat().replace("+00:00", "Z")
        name, _, server = acct.partition("@")
        home = f"https://{server or 'here.example'}"
        links = "".join(f' <a href="{home}/tags/{tag}" class="mention hashtag">#<span>{tag}</span></a>' for tag in tags)
        return {
            "id": status_id,
            "uri": f"{home}/users/{name}/statuses/{status_id}",
            "created_at": moment,
            "edited_at": None,
            "visibility": "public",
            "spoiler_text": "",
            "content": f"<p>{html.escape(text)}{links}</p>",
            "reblog": None,
            "account": {"id": "1", "username": name, "acct": acct, "url": f"{home}/@{name}"},
            "mentions": [],
            "tags": [{"name": tag.lower(), "url": f"{home}/tags/{tag}"} for tag in tags],
        }

    def edit(self, status: Status, text: str) -> None:
        with self._grown:
            edited = {**status, "content": f"<p>{html.escape(text)}</p>", "edited_at": "2026-11-27T06:00:00.000Z"}
            self._history[status["id"]].append(edited)
            self.statuses[self.statuses.index(status)] = edited
            self._tell("status.update", edited)

    def forget_history(self, status: Status) -> None:
        del self._history[status["id"]]

    def delete(self, status: Status) -> None:
        with self._grown:
            self.statuses.remove(status)
            self._tell("delete", status)

    def post_many(self, posts: int, seed: int = 0, *tags: str) -> None:
        random_ = random.Random(seed)
        for number in range(posts):
            acct = f"user{random_.randrange(100)}" + random_.choice(("", "@there.example"))
            self.post(f"Post {number}", tags=(random_.choice(tags or ("happy", "sad", "other")),), acct=acct)

    def fail(self, **fault: Any) -> None:
        self.faults.append(Fault(**fault))

    def _tell(self, event: str, status: Status) -> None:
        self._events.append((event, status))
        self._grown.notify_all()

    # ---- what its client sees ---------------------------------------------------------------------------------------

    def answer(self, request: Request) -> None:
        if self.clock() < self._not_before_s - 0.01:
            self.blame(f"it is back {self._not_before_s - self.clock():.2f} s too soon")
        self._not_before_s = 0.0
        self.times.append((request.path, self.clock()))
        if request.path.startswith("/api/v1/streaming/"):
            self._stream(request, request.path.removeprefix("/api/v1/streaming/"))
        else:
            self._question(request)

    def _error(self, request: Request, status: int, words: str, headers: dict[str, str] | None = None) -> None:
        told = headers or {}
        if "Retry-After" in told:
            self._not_before_s = self.clock() + float(told["Retry-After"])
        request.reply(status, {"error": words}, told)

    def _lacks_token(self, request: Request) -> bool:
        given = request.headers.get("Authorization", "")
        if not given:
            self._error(request, 401, "Missing access token")
        elif given != f"Bearer {self._token}":
            self._error(request, 401, "Invalid access token")
        elif not {"read", "read:statuses"} & set(self.scopes):
            self._error(request, 401, "Access token does not have the required scopes")
        else:
            return False
        return True

    # ---- streams ----------------------------------------------------------------------------------------------------

    def _stream(self, request: Request, channel: str) -> None:
        if self._lacks_token(request):
            return
        fault = self.faults.pop(0) if self.faults else self._random_fault()
        tag = request.params.get("tag", "")
        if fault.kind == "silent":
            request.handler.close_connection = True
            wait_for_client(request.handler.connection)
        elif fault.kind == "status":
            self._error(request, fault.status, fault.body, fault.headers)
        elif channel == "hashtag" and not tag:
            self._error(request, 400, "Missing tag name parameter")
        elif channel == "hashtag" or channel.removeprefix("public") in LIVE:
            feed = f"#{tag.lower()}" if channel == "hashtag" else LIVE[channel.removeprefix("public")]
            with self._counted(feed), contextlib.suppress(OSError, Cut):
                self._send(feed, SseAnswer(request.handler, fault))
        else:
            self._error(request, 400, "Unknown channel requested")

    def _random_fault(self) -> Fault:
        after_bytes = self._cut()
        return Fault() if after_bytes is None else Fault("hang_up", after_bytes)

    @contextlib.contextmanager
    def _counted(self, feed: str) -> Iterator[None]:
        with self.lock:
            self.streams[feed] += 1
            self._open[feed] += 1
            if self._open[feed] > 1:
                self.blame(f"it has {self._open[feed]} connections for {feed}")
        try:
            yield
        finally:
            with self.lock:
                self._open[feed] -= 1

    def _send(self, feed: str, answer: SseAnswer) -> None:
        """What happens from now on."""
        with self._grown:
            seen = len(self._events)
            answer.begin()
            answer.send(b":)\n")
        thumped_s = time.monotonic()
        while not self._is_closing and answer.client_is_there:
            with self._grown:
                if len(self._events) == seen:
                    self._grown.wait(min(LOOK_S, self._thump_s))
                events = self._events[seen:]
                seen += len(events)
            for event, status in events:
                if self._is_in(feed, status) and not self._is_hidden(feed, status):
                    data = status["id"] if event == "delete" else json.dumps(status)
                    answer.send(f"event: {event}\ndata: {data}\n\n".encode())
            if time.monotonic() - thumped_s > self._thump_s:
                thumped_s = time.monotonic()
                answer.send(b":thump\n\n")

    @staticmethod
    def _is_in(feed: str, status: Status) -> bool:
        is_local = "@" not in status["account"]["acct"]
        if feed.startswith("#"):
            return feed[1:] in (tag["name"] for tag in status["tags"])
        return feed == "public" or (feed == "local") == is_local

    def _is_hidden(self, feed: str, status: Status) -> bool:
        """A feed that is switched off is silent, for users without the permission."""
        kind = "hashtag_feeds" if feed.startswith("#") else "live_feeds"
        origin = "remote" if "@" in status["account"]["acct"] else "local"
        is_off = (self.access or {}).get(kind, {}).get(origin) == "disabled"
        return is_off and not (self._permissions or 0) & VIEW_FEEDS

    # ---- questions --------------------------------------------------------------------------------------------------

    def _question(self, request: Request) -> None:
        self.asked.append(f"{request.path}?{request.query}".rstrip("?"))
        if self.refusals:
            return self._error(request, self.refusals[0][0], "Refused", self.refusals.pop(0)[1])
        headers = self._count_question()
        if request.path in self.refused:
            return self._error(request, self.refused[request.path], "Refused")
        if headers is None:
            return self._too_many(request)
        if request.path == "/api/v2/instance":
            return request.reply(200, self._instance(), headers)
        if self._lacks_token(request):
            return None
        status, body = self._found(request)
        if body == [] and self.before_empty:
            happens, self.before_empty = self.before_empty, None
            happens()
        return request.reply(status, body, headers)

    def _found(self, request: Request) -> tuple[int, object]:
        parts = request.path.strip("/").split("/")
        match parts:
            case ["api", "v1", "accounts", "verify_credentials"]:
                role = {} if self._permissions is None else {"role": {"permissions": str(self._permissions)}}
                return 200, {"id": "1", "username": "reader", **role}
            case ["api", "v1", "timelines", "tag", tag]:
                return 200, self._page(f"#{unquote(tag).lower()}", request.params)
            case ["api", "v1", "timelines", "public"]:
                only = [origin for origin in ("local", "remote") if request.params.get(origin) == "true"]
                return 200, self._page(only[0] if only else "public", request.params)
            case ["api", "v1", "statuses", status_id, "history"]:
                versions = self._history.get(status_id, [])
                told = ("content", "spoiler_text", "created_at", "account")
                return (200, [{name: each[name] for name in told} for each in versions]) if versions else (404, {})
        return 404, {"error": "Not found"}

    def _page(self, feed: str, params: dict[str, str]) -> list[Status]:
        """The next ones after `min_id`, the newest first."""
        with self._grown:
            after = int(params.get("min_id", "0"))
            found = [
                status
                for status in self.statuses
                if int(status["id"]) > after and self._is_in(feed, status) and not self._is_hidden(feed, status)
            ]
        page = sorted(found, key=lambda status: int(status["id"]))[: min(PAGE_MAX, int(params.get("limit", "20")))]
        return page[::-1]

    def _count_question(self) -> dict[str, str] | None:
        """What it says of its limit; None if this is one too many."""
        with self.lock:
            now_s = self.clock()
            self._questions = [asked_s for asked_s in self._questions if asked_s > now_s - WINDOW_S]
            if len(self._questions) >= self._limit:
                return None
            self._questions.append(now_s)
            return self._limits(self._limit - len(self._questions))

    def _limits(self, left: int) -> dict[str, str]:
        reset_s = time.time() + max(0.0, self._questions[0] + WINDOW_S - self.clock())
        reset = datetime.datetime.fromtimestamp(reset_s, datetime.UTC).isoformat()
        return {"X-RateLimit-Limit": str(self._limit), "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": reset}

    def _too_many(self, request: Request) -> None:
        self.blame("it asked more often than it may")
        self._error(request, 429, "Too many requests", self._limits(0))

    def _instance(self) -> dict[str, Any]:
        configuration: dict[str, Any] = {"urls": {"streaming": self._streaming or self.base.replace("http", "ws", 1)}}
        if self.access is not None:
            configuration["timelines_access"] = self.access
        return {"domain": "here.example", "version": "4.5.3", "configuration": configuration}

    def close_connections(self) -> None:
        self._is_closing = True
        with self._grown:
            self._grown.notify_all()

    def seen(self) -> dict[str, Any]:
        return {"violations": self.violations, "streams": dict(self.streams), "asked": self.asked}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--token", default="secret")
    asked = parser.parse_args()
    serve_for_ever(MastodonDouble(port=asked.port, token=asked.token))


if __name__ == "__main__":
    main()
