"""What OpenAPI says about one route. Each handler module describes its own routes with this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A JSON schema. A msgspec type may stand anywhere in it: `openapi.py` puts a reference to its schema there.
Schema = Any
Parameter = Mapping[str, Any]

OBJECT: Schema = {"type": "object"}
STRING: Schema = {"type": "string"}

ID: Parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class Operation:
    """`answer` is the schema of the answer with status 200; `body` has a schema for each content type it may have.

    `also` has the schemas of that answer under other content types than `media`.
    """

    summary: str
    answer: Schema = None
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Schema] | None = None
    words: str = ""
    media: str = "application/json"
    also: Mapping[str, Schema] | None = None
    responses: Mapping[str, Any] | None = None  # besides 200 and the default


def flag(name: str, description: str) -> Parameter:
    """A query parameter without a value."""
    return {"name": name, "in": "query", "description": description, "allowEmptyValue": True, "schema": {}}
