"""X's API v2, as far as a filtered stream and a recent search need it: a real server that checks its client.

    python -m tests.doubles.social.x --port 8112

It checks the token and how it was fetched, the rules and their limits, that there is one connection, how often it is
asked in 15 minutes, and the pauses between connects. The search finds nothing of the last 30 seconds, and no more than
seven days.
"""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from quorate.ingest.social.networks.x.snowflake import id_at, ms_of
from tests.doubles.social.attempts import Attempts
from tests.doubles.social.double import Double, Request, arguments, serve_for_ever
from tests.doubles.social.live_answer import Fault, LiveAnswer
from tests.doubles.social.x_posts import SaidPost, SearchIndex
from tests.doubles.social.x_rules import InvalidRule, RuleBook, parsed

STREAM, RULES, SEARCH, TOKEN = (
    "/2/tweets/search/stream",
    "/2/tweets/search/stream/rules",
    "/2/tweets/search/recent",
    "/oauth2/token",
)
PROBLEMS = "https://api.x.com/2/problems/"
WINDOW_S = 15 * 60


@dataclass(slots=True)
class XTerms:
    """What the server grants."""

    key: str = "x-key-of-tests"
    secret: str = "x-secret/of+tests"
    rules: int = 1_000
    rule_characters: int = 1_024
    query_characters: int = 512
    connects: int = 50
    rule_changes: int = 100
    questions: int = 450
    keep_alive_s: float = 20.0
    gzip: bool = False
    indexed_after_s: float = 30.0
    kept_s: float = 7 * 86_400
    page_of_rules: int = 1_000
    rules_act_after_s: float = 0.0


@dataclass(slots=True)
class XState:
    tokens: set[str] = field(default_factory=set)
    fetched: int = 0
    connections: list[LiveAnswer] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # of connects
    asked: dict[str, list[float]] = field(default_factory=dict)
    searches: list[dict[str, str]] = field(default_factory=list)
    delivered: int = 0  # posts, in the stream and in searches: what is billed


class XDouble(Double):
    orders = ("say", "edit", "send", "answer_next", "fail", "withdraw_tokens")

    def __init__(
        self,
        terms: XTerms | None = None,
        *,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(port=port, clock=clock, unix_s=unix_s)
        self.terms = terms or XTerms()
        self.state = XState()
        self.attempts = Attempts(clock, self.blame, limit=self.terms.connects)
        acts = {"acts_after_s": self.terms.rules_act_after_s, "clock": clock}
        self.book = RuleBook(self.terms.rules, self.terms.rule_characters, **acts)  # type: ignore[arg-type]  # of two kinds
        self.index = SearchIndex()
        self._next: dict[str, deque[tuple[int, dict[str, str], Any]]] = {}

    @property
    def live(self) -> list[LiveAnswer]:
        return [each for each in list(self.state.connections) if each.is_open]

    # ---- what a test has it do --------------------------------------------------------------------------------------

    def say(self, text: str, author: str = "7", *, reposts: str = "", tags: list[str] | None = None) -> str:
        """A person posts this. It goes to the stream if a rule wants it, and into the index."""
        with self.lock:
            original = self.index.posts.get(reposts)
            post = self.index.add(id_at(self.unix_s() * 1_000), text, author, original, tags or [])
        self._deliver(post)
        return post.id

    def edit(self, id: str, text: str) -> str:
        with self.lock:
            post = self.index.edit(id_at(self.unix_s() * 1_000), id, text)
        self._deliver(post)
        return post.id

    def send(self, message: object) -> None:
        """A message about the stream, or raw bytes."""
        line = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\r\n"
        for each in self.live:
            each.push(line)

    def answer_next(
        self, status: int, headers: dict[str, str] | None = None, body: Any = None, path: str = STREAM
    ) -> None:
        """To the next request of this path. Status 0: hang up without one."""
        self._next.setdefault(path, deque()).append((status, headers or {}, body))

    def fail(self, fault: Fault, line: str = "") -> None:
        for each in self.live:
            each.fail(fault, line.encode())

    def withdraw_tokens(self) -> None:
        self.state.tokens.clear()

    def close_connections(self) -> None:
        self.fail("hang_up")

    def seen(self) -> dict[str, Any]:
        rules = [(rule.value, rule.tag) for rule in self.book.kept.values()]
        state = {"statuses": self.state.statuses[-50:], "delivered": self.state.delivered, "live": len(self.live)}
        return {**super().seen(), **state, "rules": rules, "searches": self.state.searches[-20:]}

    def _deliver(self, post: SaidPost) -> None:
        whole = post.whole
        wanted = self.book.wants(whole.text, whole.tags, is_repost=post.original is not None)
        if wanted and (live := self.live):
            rules = [{"id": rule.id, "tag": rule.tag} for rule in wanted]
            message = {"data": post.shown, **self.index.included([post], edits=False), "matching_rules": rules}
            self.state.delivered += 1 + len(message.get("includes", {}).get("tweets", []))
            live[-1].push(json.dumps(message).encode() + b"\r\n")

    # ---- what its client asks ---------------------------------------------------------------------------------------

    def answer(self, request: Request) -> None:
        if request.path == STREAM:
            self._stream(request)
            return
        with self.lock:
            given = self._given(request.path) or self._judged(request)
        status, headers, body = given
        if status == 0:
            request.handler.close_connection = True
        else:
            request.reply(status, body if body is not None else _problem(status), headers)

    def _given(self, path: str) -> tuple[int, dict[str, str], Any] | None:
        waiting = self._next.get(path)
        return waiting.popleft() if waiting else None

    def _judged(self, request: Request) -> tuple[int, dict[str, str], Any]:
        if request.path == TOKEN:
            return self._token(request)
        if not self._is_known(request):
            return 401, {}, _problem(401)
        limit = self.terms.rule_changes if request.method == "POST" else self.terms.questions
        if left := self._too_often(f"{request.method} {request.path}", limit):
            return 429, left, _problem(429)
        if request.path == SEARCH:
            return self._search(request)
        if request.path == RULES:
            return self._rules(request) if request.method == "GET" else self._change(json.loads(request.body))
        return 404, {}, _problem(404)

    def _token(self, request: Request) -> tuple[int, dict[str, str], Any]:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        key, _, secret = base64.b64decode(given or "").decode().partition(":")
        if kind != "Basic" or (unquote(key), unquote(secret)) != (self.terms.key, self.terms.secret):
            return 403, {}, {"errors": [{"code": 99, "message": "Unable to verify your credentials"}]}
        if request.form != {"grant_type": "client_credentials"}:
            return 400, {}, _problem(400)
        self.state.fetched += 1
        token = f"AAAA-token-{self.state.fetched}"
        self.state.tokens.add(token)
        return 200, {}, {"token_type": "bearer", "access_token": token}

    def _is_known(self, request: Request) -> bool:
        if not request.headers.get("User-Agent", "").startswith("quorate/"):
            self.blame(f"{request.path} by {request.headers.get('User-Agent')}")
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return kind == "Bearer" and token in self.state.tokens

    def _too_often(self, what: str, limit: int) -> dict[str, str] | None:
        times = self.state.asked.setdefault(what, [])
        now_s = self.clock()
        times[:] = [time_s for time_s in times if time_s > now_s - WINDOW_S]
        times.append(now_s)
        if len(times) <= limit:
            return None
        self.blame(f"{what} more than {limit} times in 15 minutes")
        return {"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(int(self.unix_s() + WINDOW_S))}

    # ---- rules ------------------------------------------------------------------------------------------------------

    def _rules(self, request: Request) -> tuple[int, dict[str, str], Any]:
        start = int(request.params.get("pagination_token", "0"))
        rules = list(self.book.kept.values())
        end = start + self.terms.page_of_rules
        data = [{"id": rule.id, "value": rule.value, "tag": rule.tag} for rule in rules[start:end]]
        meta = {"result_count": len(data)} | ({"next_token": f"{end:016}"} if end < len(rules) else {})
        return 200, {}, ({"data": data} if data else {}) | {"meta": meta}

    def _change(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if "delete" in body:
            ids = body["delete"]["ids"]
            gone = [self.book.kept.pop(id, None) for id in ids]
            return 200, {}, {"meta": {"summary": {"deleted": len(gone) - gone.count(None)}}}
        made: list[dict[str, str]] = []
        errors: list[dict[str, Any]] = []
        for rule in body["add"]:
            problem = self._add(rule["value"], rule.get("tag", ""), made)
            errors += [problem] if problem else []
        status = 201 if made or not errors else 400
        return status, {}, ({"data": made} if made else {}) | ({"errors": errors} if errors else {})

    def _add(self, value: str, tag: str, made: list[dict[str, str]]) -> dict[str, Any] | None:
        if len(self.book.kept) >= self.book.rules_max:
            self.blame("more rules than the account has")
            return {"title": "RulesCapExceeded", "detail": "too many", "type": f"{PROBLEMS}rule-cap"}
        try:
            rule = self.book.add(value, tag)
        except KeyError as same:
            return {"value": value, "id": same.args[0], "title": "DuplicateRule", "type": f"{PROBLEMS}duplicate-rules"}
        except InvalidRule as why:
            return {"value": value, "details": [str(why)], "title": "InvalidRule", "type": f"{PROBLEMS}invalid-rules"}
        made.append({"id": rule.id, "value": value, "tag": tag})
        return None

    # ---- the stream -------------------------------------------------------------------------------------------------

    def _stream(self, request: Request) -> None:
        with self.lock:
            self.attempts.made()
            status, headers, body = self._given(STREAM) or self._judged_connect(request)
            self.state.statuses.append(status)
            if status == 200:
                gzip = self.terms.gzip and "gzip" in request.headers.get("Accept-Encoding", "")
                answer = LiveAnswer(keep_alive_s=self.terms.keep_alive_s, gzip=gzip)
                answer.push(b"\r\n")
                self.state.connections.append(answer)
                self.attempts.delivered()
            elif status:
                self.attempts.answered(status, headers)
            else:
                self.attempts.cut()
        if status == 200:
            left = {"x-rate-limit-limit": str(self.terms.connects), "x-rate-limit-remaining": str(self.attempts.left)}
            answer.serve(request.handler, {"Content-Type": "application/json", **left})
        elif status:
            request.reply(status, body if body is not None else _problem(status), headers)
        else:
            request.handler.close_connection = True

    def _judged_connect(self, request: Request) -> tuple[int, dict[str, str], Any]:
        if not self._is_known(request):
            return 401, {}, _problem(401)
        if self.attempts.is_too_many:
            self.blame(f"more than {self.terms.connects} connects in 15 minutes")
            reset = str(int(self.unix_s() + self.attempts.reset_s()))
            return 429, {"x-rate-limit-remaining": "0", "x-rate-limit-reset": reset}, _problem(429)
        if self.live:
            return 429, {}, connection_problem("TooManyConnections", "at the maximum allowed connection limit")
        if not self.book.kept:
            return 409, {}, connection_problem("RuleConfigurationIssue", "You must define rules")
        return 200, {}, None

    # ---- the search -------------------------------------------------------------------------------------------------

    def _search(self, request: Request) -> tuple[int, dict[str, str], Any]:
        asked = request.params
        self.state.searches.append(asked)
        try:
            alternatives = parsed(asked["query"], self.terms.query_characters)
        except InvalidRule as why:
            return 400, {}, {"title": "Invalid Request", "detail": str(why)}
        since, until, most = int(asked["since_id"]), int(asked["until_id"]), int(asked["max_results"])
        now_ms = self.unix_s() * 1_000
        if ms_of(since) < now_ms - self.terms.kept_s * 1_000 or not 10 <= most <= 100:
            return 400, {}, {"title": "Invalid Request", "detail": "'since_id' or 'max_results'"}
        newest = min(until, id_at(now_ms - self.terms.indexed_after_s * 1_000))
        reposts = not asked["query"].endswith(" -is:retweet")
        found = self.index.find(alternatives, since, newest, reposts=reposts)
        start = int(asked.get("next_token", "0"))
        page = found[start : start + most]
        body = {"data": [post.shown for post in page], **self.index.included(page, edits=True)} if page else {}
        self.state.delivered += len(page) + len(body.get("includes", {}).get("tweets", []))
        meta = {"result_count": len(page)} | ({"next_token": str(start + most)} if start + most < len(found) else {})
        return 200, {}, {**body, "meta": meta}


def _problem(status: int) -> dict[str, Any]:
    return {"title": {401: "Unauthorized", 429: "Too Many Requests"}.get(status, "Problem"), "status": status}


def connection_problem(issue: str, detail: str) -> dict[str, Any]:
    return {
        "title": "ConnectionException",
        "detail": detail,
        "connection_issue": issue,
        "type": f"{PROBLEMS}streaming-connection",
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--keep-alive-s", type=float, default=20.0)
    parser.add_argument("--gzip", action="store_true")
    flags = parser.parse_args()
    serve_for_ever(XDouble(XTerms(keep_alive_s=flags.keep_alive_s, gzip=flags.gzip), port=flags.port))


if __name__ == "__main__":
    main()
