"""What a route is, and how a request finds its route. The table of all routes is `routes.py`.

The loop's door asks the router for every request, so exact paths and hot patterns are found without a regular
expression. All other spellings of a path (`//events`, `/livez//`) are left to the URL map of the Flask app
(`url_map.py`), which is made from the same table. So both doors agree about what is at a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from quorate.doors.bounds import check_poll
from quorate.doors.event_stream import Stream
from quorate.doors.limits import Limits
from quorate.http.api import Api
from quorate.http.download import Download
from quorate.http.operation import Operation
from quorate.http.reply import Reply
from quorate.http.request import Request
from quorate.security.roles import RouteRole
from quorate.vote import normal_form

if TYPE_CHECKING:
    from flask import Response

Rendering = Callable[[], "Reply | Response"]  # the rest of the work, which may take a while: a Flask thread calls it


class InTurn(NamedTuple):
    """A big answer, which is made and sent on the loop when it is its turn."""

    make: Callable[[], Reply]

    def __call__(self) -> Reply:
        return self.make()


Answer = Reply | Stream | Rendering | InTurn | Download
Handler = Callable[..., Coroutine[Any, Any, Answer]]

PLACEHOLDER = re.compile(r"\{(\w+)(?::(\w+))?\}")
OF_A_POLL = "/polls/{id"  # how the patterns of all routes about one poll begin
OTHER = "other"  # the counts' name for requests without a route


def any_body(limits: Limits) -> int:
    return limits.small_body_bytes


def any_answer_s(limits: Limits) -> float:
    return limits.timeout_s


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One line of the table.

    `pattern` may have one placeholder: `{file}` stands for one segment, `{id:path}` for one or more segments, and
    `{id:anything}` for one or more that may begin with a slash. The handler runs on the node's loop and is given the
    value of the placeholder. The loop answers a hot route completely; Flask answers the others on a thread. A request
    that may wait long, or have a big body (`on_loop`), is answered on the loop too, and takes a thread only to render
    its answer.
    """

    method: str
    pattern: str
    handler: Handler
    operation: Operation
    role: RouteRole  # who may use it; "public" needs no token whatever is configured
    hot: bool = False
    on_loop: bool = False
    body_max: Callable[[Limits], int] = any_body
    timeout_s: Callable[[Limits], float] = any_answer_s  # how long a Flask thread waits for the loop

    def answer(self, api: Api, request: Request, arguments: Iterable[str]) -> Coroutine[Any, Any, Answer]:
        """Call the handler. What stands in the address is looked up in the spelling in which it is kept.

        Raises `Forbidden` if it is about a poll that the caller's token is not for.
        """
        kept = [normal_form(argument) for argument in arguments]
        if request.caller.token is not None and self.pattern.startswith(OF_A_POLL):
            check_poll(request.caller, kept[0])
        return self.handler(api, request, *kept)

    @property
    def path(self) -> str:
        """The pattern as OpenAPI and the counts show it: `/polls/{id}/results`."""
        return PLACEHOLDER.sub(r"{\1}", self.pattern)

    @property
    def rule(self) -> str:
        """The pattern as Flask writes it: `/polls/<anything:id>/results`."""
        return PLACEHOLDER.sub(lambda found: f"<{found[2] or 'string'}:{found[1]}>", self.pattern)

    @property
    def endpoint(self) -> str:
        return f"{self.method} {self.path}"


class Match(NamedTuple):
    """What a request found. `name` is the route's path for the counts; `hot` says that the loop answers it.

    A request with a method that its path does not answer finds another route of the path. `role` is what the request
    needs; where there is no route, everybody is told so.
    """

    route: Route | None
    name: str
    role: RouteRole
    arguments: tuple[str, ...] = ()
    hot: bool = False


NOTHING = Match(None, OTHER, "public")


class Router:
    """Finds the route of a request by its exact path, or by what stands around the placeholder of a hot route."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, dict[str, Match]] = {}  # path -> method -> the route without placeholder
        self._hot: list[tuple[str, str, str, Route, str]] = []  # method, before and after the placeholder, route, path
        for route in routes:
            before, *after = PLACEHOLDER.sub("\n", route.pattern).split("\n")
            if not after:
                self._exact.setdefault(before, {})[route.method] = Match(route, before, route.role, (), route.hot)
            elif route.hot:
                self._hot.append((route.method, before, after[0], route, route.path))

    def find(self, method: str, path: str) -> Match | None:
        """Quick for exact paths and hot patterns. None: the request must be looked up in Flask's URL map."""
        methods = self._exact.get(path)
        if methods is not None and (match := methods.get(method)) is not None:
            return match
        for hot_method, before, after, route, name in self._hot:
            if method == hot_method and path.startswith(before) and path.endswith(after):
                value = path[len(before) : len(path) - len(after)]
                if value:
                    return Match(route, name, route.role, (value,), True)
        return None
