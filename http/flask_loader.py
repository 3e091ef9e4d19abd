"""Loads Flask after the node listens.

Flask and the libraries below it take about half of what a node would import at its start, and no vote needs them. They
are imported on a thread: when the first request asks for them, or soon after the start, so that the loop goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from quorate.http.api import Api
from quorate.http.routing import Route

if TYPE_CHECKING:
    from a2wsgi import WSGIMiddleware

    from quorate.http.url_map import UrlMap

LOAD_AFTER_S = 1.0  # by then a node has usually read its log


class LoadedFlask(NamedTuple):
    threads: WSGIMiddleware
    url_map: UrlMap


class FlaskLoader:
    """Used on the node's loop."""

    def __init__(self, api: Api, routes: Iterable[Route]) -> None:
        self._api, self._routes = api, tuple(routes)
        self._loading: asyncio.Task[LoadedFlask] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def load_soon(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOAD_AFTER_S, self._load)

    async def get(self) -> LoadedFlask:
        return await asyncio.shield(self._load())

    def _load(self) -> asyncio.Task[LoadedFlask]:
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(load_flask, self._api, self._routes))
        return self._loading

    async def stop(self) -> None:
        """End Flask's threads. Waits for a load that has begun, since an import cannot be cut short. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._loading is not None:
            (loaded,) = await asyncio.gather(self._loading, return_exceptions=True)
            if not isinstance(loaded, BaseException):
                loaded.threads.executor.shutdown(wait=False, cancel_futures=True)


def load_flask(api: Api, routes: Iterable[Route]) -> LoadedFlask:
    from a2wsgi import WSGIMiddleware

    from quorate.http.flask_app import create_app
    from quorate.http.url_map import UrlMap

    listed = tuple(routes)
    app = create_app(api, listed)

    def in_turn(environ: Any, start_response: Any) -> Iterable[bytes]:
        with api.thread_turns.work():
            return app(environ, start_response)

    threads = WSGIMiddleware(in_turn, workers=api.limits.threads)
    return LoadedFlask(threads, UrlMap(listed, app.url_map))
