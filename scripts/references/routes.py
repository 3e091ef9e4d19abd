"""docs/http.md: what /openapi.json says, for people."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from quorate import errors
from quorate.http import openapi
from quorate.http.routes import ROUTES
from scripts.references.markdown import code, paragraph, table, words

HEAD = """\
# HTTP

Any node may be asked for anything. This page is made from `/openapi.json`, which every node has: `make references`.

Bodies and answers are JSON, in UTF-8, unless something else is said. A token goes into `Authorization: Bearer TOKEN`.
A route names the role that it needs: `read`, `vote`, `manage` or `operate`, each of which may do all that those before
it may. `public` needs no token whatever the settings say. `auth.anonymous` lists the roles that need none.

`level` says how new an answer must be: `none` is what this node has, `weak` (the default) what the leader has,
`linearizable` is confirmed by a majority. `min_version` with the `version` of an earlier answer reads at least that.
"""
STOPPERS = (errors.ConfigError, errors.DataError)  # a node that has them does not answer
Shown = Mapping[str, Any]


def page() -> str:
    document = openapi.document(tuple(ROUTES))
    schemas = document["components"]["schemas"]
    roles = {(route.method, route.path): route.role for route in ROUTES}
    each = [
        (method.upper(), path, said) for path, methods in document["paths"].items() for method, said in methods.items()
    ]
    rows = [(_link(method, path), said["summary"], roles[method, path]) for method, path, said in each]
    lines = [*HEAD.splitlines(), "", *table(("route", "what it does", "role"), rows)]
    for method, path, said in each:
        lines += ["", *_route(method, path, said, roles[method, path])]
    lines += ["", *_errors(schemas["Problem"]), "", "## Types"]
    for name, schema in schemas.items():
        if name != "Problem":
            lines += ["", *_type(name, schema)]
    return "\n".join(lines) + "\n"


def _link(method: str, path: str) -> str:
    kept = "".join(each for each in path.lower() if each.isalnum() or each in "-_")
    shown = f"`{method} {path}`"
    return f"[{shown}](#{method.lower()}-{kept})" if kept else shown  # what GitHub and the site would call it differs


def _route(method: str, path: str, said: Shown, role: str) -> Iterator[str]:
    yield from (f"## {method} {path}", "", *paragraph(f"{said['summary']}. Role: `{role}`."))
    if description := said.get("description"):
        yield from ("", *paragraph(description))
    parameters = [
        (f"`{each['name']}`", _place(each), _kind(each["schema"]), _default(each["schema"], False), _about(each))
        for each in said.get("parameters", ())
    ]
    if parameters:
        yield from ("", *table(("parameter", "in", "value", "default", "what it is"), parameters))
    if body := said.get("requestBody"):
        yield from _contents("Body", body["content"])
    for status, answer in said["responses"].items():
        if status == "200":
            yield from _contents("Answer", answer["content"])
        elif status != "default":
            yield from ("", f"{status}: {words(answer['description'])}.")


def _about(described: Shown) -> str:
    return words(described.get("description", ""))


def _place(parameter: Shown) -> str:
    return f"{parameter['in']}, needed" if parameter.get("required") and parameter["in"] != "path" else parameter["in"]


def _contents(label: str, contents: Mapping[str, Shown]) -> Iterator[str]:
    """One line for each schema, with the content types that it may have, and the fields of one without a name."""
    by_schema: dict[str, list[str]] = {}
    for media, content in contents.items():
        by_schema.setdefault(json.dumps(content["schema"]), []).append(media)
    for written, types in by_schema.items():
        schema = json.loads(written)
        named = " or ".join(f"`{each}`" for each in types)
        yield from ("", f"{label} ({named}): {_kind(schema)}.")
        if "properties" in schema:
            yield from ("", *_fields(schema))


def _fields(schema: Shown) -> list[str]:
    needed = set(schema.get("required", ()))
    return table(
        ("field", "value", "default", "what it is"),
        [
            (f"`{name}`", _kind(each), _default(each, name in needed), _about(each))
            for name, each in schema["properties"].items()
        ],
    )


def _default(schema: Shown, needed: bool) -> str:
    if needed:
        return "needed"
    return code(json.dumps(schema["default"], ensure_ascii=False)) if schema.get("default") is not None else ""


def _kind(schema: Shown) -> str:
    """What a value may be, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(each) for each in several))
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if not schema:
        return "no value"
    if schema["type"] == "array":
        return f"a list of {_kind(schema['items']) if schema.get('items') else 'values'}{_bounds(schema, 'Items')}"
    if schema["type"] == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"an object with {_kind(schema['additionalProperties'])} a name"
    named = {
        "string": "text",
        "integer": "a number",
        "number": "a number",
        "boolean": "`true` or `false`",
        "null": "`null`",
    }
    if schema.get("format") == "binary":
        return "bytes"
    return named.get(schema["type"], "an object") + _bounds(schema, "imum") + _bounds(schema, "Length")


def _bounds(schema: Shown, of: str) -> str:
    least, most = schema.get(f"min{of}"), schema.get(f"max{of}")
    unit = " characters" if of == "Length" else ""
    if least is not None and most is not None:
        return f", {least:,} to {most:,}{unit}"
    if most is not None:
        return f", at most {most:,}{unit}"
    return f", at least {least:,}{unit}" if least is not None else ""


def _type(name: str, schema: Shown) -> Iterator[str]:
    yield f"### {name}"
    if description := schema.get("description"):
        for text in inspect.cleandoc(description).split("\n\n"):
            yield from ("", *paragraph(text))
    yield from ("", *_fields(schema))


def _errors(problem: Shown) -> Iterator[str]:
    yield from (
        "## Errors",
        "",
        *paragraph(
            "An error is a problem document (`application/problem+json`, RFC 9457), and its `type` ends with its kind. "
            "`definite: true` says that the request surely changed nothing. `retry` says what sending it again would "
            "do: `no`: the same answer; `safe`: it was surely not counted; `same-id`: it may have been counted, so "
            "send it only under the same id. `Retry-After` stands beside what passes by itself."
        ),
        "",
        *_fields(problem),
        "",
    )
    found = sorted(_kinds(errors.QuorateError), key=lambda each: (each.status, each.kind))
    rows = [(each.status, f"`{each.kind}`", each.title, "yes" if each.definite else "no") for each in found]
    yield from table(("status", "kind", "what it says", "surely nothing changed"), rows)


def _kinds(above: type[errors.QuorateError]) -> Iterable[type[errors.QuorateError]]:
    """Those of one module alone: which others there are depends on what is imported."""
    if above not in STOPPERS and above.__module__ == errors.__name__:
        yield above
        for below in above.__subclasses__():
            yield from _kinds(below)
