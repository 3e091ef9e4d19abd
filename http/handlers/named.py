"""A poll that does not exist is answered with the names that are near: for each handler about one poll."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from quorate.errors import UnknownPoll
from quorate.http.api import Api
from quorate.http.request import Request

P = ParamSpec("P")
T = TypeVar("T")
Handler = Callable[Concatenate[Api, Request, P], Coroutine[Any, Any, T]]


def names_polls(handler: Handler[P, T]) -> Handler[P, T]:
    @wraps(handler)
    async def named(api: Api, request: Request, /, *arguments: P.args, **others: P.kwargs) -> T:
        try:
            return await handler(api, request, *arguments, **others)
        except UnknownPoll as error:
            if request.caller.polls is None:  # a token that is bound to polls is told of no others
                api.refusals.name_poll(api.replica.state, error)
            raise

    return named
