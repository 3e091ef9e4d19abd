"""GET /openapi.json: the API described by itself.

The paths are those of the table of routes. The schemas of bodies come from the types that read and write them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from quorate import __version__
from quorate.http.operation import OBJECT, Operation, Schema
from quorate.http.routing import Route

# Whether a role needs a token is a setting of the node (`auth.anonymous`), so a token is optional here: `{}`.
TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token (`quorate token new`) with a role: read, vote, manage or operate, each of which may do all "
    "that those before it may. 401: one is needed. 403: its role is too small, or it is bound to other polls.",
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `retry` says what sending again would do: no (the same answer), safe (surely not "
    "counted), same-id (it may have been counted: only under the same id).",
    "required": ["type", "title", "status", "detail", "instance", "definite", "retry"],
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail", "instance")},
        "status": {"type": "integer"},
        "definite": {"type": "boolean", "description": "true: it surely changed nothing"},
        "retry": {"enum": ["no", "safe", "same-id"]},
    },
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    types = list(dict.fromkeys(found for route in routes for found in _types(route.operation)))
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Quorate",
            "version": __version__,
            "description": "A fault-tolerant clustered counter: every vote is counted exactly once. Ask any node.",
        },
        "paths": _with_references(paths, dict(zip(types, schemas, strict=True))),
        "components": {"schemas": {**components, "Problem": PROBLEM}, "securitySchemes": {"token": TOKEN}},
    }


def _operation(route: Route) -> dict[str, Any]:
    operation = route.operation
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answer = {operation.media: OBJECT if operation.answer is None else operation.answer, **(operation.also or {})}
    shown: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {
            "200": {"description": "done", "content": {media: {"schema": each} for media, each in answer.items()}},
            "default": {"description": "what went wrong", "content": problem},
            **(operation.responses or {}),
        },
    }
    if route.role != "public":
        shown["security"] = [{}, {"token": [route.role]}]
    if operation.words:
        shown["description"] = operation.words
    if operation.parameters:
        shown["parameters"] = list(operation.parameters)
    if operation.body:
        content = {media: {"schema": schema} for media, schema in operation.body.items()}
        shown["requestBody"] = {"required": True, "content": content}
    return shown


def _types(operation: Operation) -> Iterator[type]:
    """The msgspec types in the schemas of an operation."""
    todo = [operation.answer, operation.also, operation.body]
    while todo:
        value = todo.pop()
        if isinstance(value, type):
            yield value
        elif isinstance(value, Mapping):
            todo.extend(value.values())
        elif isinstance(value, (list, tuple)):
            todo.extend(value)


def _with_references(value: Schema, references: Mapping[type, Schema]) -> Any:
    """The value with each type replaced by the reference to its schema."""
    if isinstance(value, type):
        return references[value]
    if isinstance(value, Mapping):
        return {key: _with_references(each, references) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_references(each, references) for each in value]
    return value
