"""A poll that does not exist is answered with the names that are near: for each handler about one poll."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from quorate.errors import UnknownPoll
from quorate.http.api import Api

P = ParamSpec("P")
T = TypeVar("T")
Handler = Callable[Concatenate[Api, P], Coroutine[Any, Any, T]]


def names_polls(handler: Handler[P, T]) -> Handler[P, T]:
    @wraps(handler)
    async def named(api: Api, /, *arguments: P.args, **others: P.kwargs) -> T:
        try:
            return await handler(api, *arguments, **others)
        except UnknownPoll as error:
            api.refusals.name_poll(api.replica.state, error)
            raise

    return named
