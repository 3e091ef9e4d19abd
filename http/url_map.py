"""How Flask finds the route of a request, in any spelling of its path."""

from __future__ import annotations

from collections.abc import Iterable

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, PathConverter

from quorate.http.routing import NOTHING, Match, Route


class AnythingConverter(PathConverter):
    """`{id:anything}`: at least one character, slashes included, also at the beginning."""

    regex = r"[\s\S]+?"
    part_isolating = False


class UrlMap:
    """`url_map` is that of the Flask app with the same routes."""

    def __init__(self, routes: Iterable[Route], url_map: Map) -> None:
        self._by_endpoint = {route.endpoint: route for route in routes}
        self._adapter = url_map.bind("localhost")

    def find(self, method: str, path: str) -> Match:
        """The route of a request, or `NOTHING`. HEAD finds the route of GET, and Flask answers it."""
        try:
            endpoint, arguments = self._adapter.match(path, method)
        except MethodNotAllowed as error:
            other = self.find(max(error.valid_methods or ()), path)
            return Match(other.route, other.name, other.role)
        except NotFound:
            return NOTHING
        route = self._by_endpoint[endpoint]
        return Match(route, route.path, route.role, tuple(arguments.values()), route.hot and method == route.method)
