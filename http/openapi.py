"""GET /openapi.json: the API described by itself.

Bodies come from the very types that read and write them; a test holds the paths to the routes that exist.
"""

from __future__ import annotations

from typing import Any

import msgspec

from quorate import __version__
from quorate.cluster.read.reads import Results
from quorate.cluster.submit.batch import Tallied
from quorate.http.handlers.polls import STATES, NewPoll, NewState
from quorate.vote import OPTIONS_PER_POLL_MAX, REQUEST_BYTES_MAX, VOTES_PER_REQUEST_MAX, Vote
from quorate.words import ACTIONS, LEVELS

ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
VERBOSE = {"name": "verbose", "in": "query", "description": "more words a line", "allowEmptyValue": True, "schema": {}}
SYNC = {"name": "sync", "in": "query", "description": "look at the sink too", "allowEmptyValue": True, "schema": {}}
CONSISTENCY = [
    {"name": "level", "in": "query", "schema": {"enum": list(LEVELS), "default": "weak"}},
    {
        "name": "min_version",
        "in": "query",
        "schema": {"type": "integer", "minimum": 0},
        "description": "at least as new",
    },
    {"name": "wait", "in": "query", "schema": {"type": "string", "default": "2s"}, "description": "for min_version"},
]
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 128},
    "description": "the id of a single vote; on several votes without ids: all or nothing, counted once",
}
PRODUCER = {
    "name": "X-Quorate-Producer",
    "in": "header",
    "schema": {"type": "string", "examples": ["feeder;epoch=1;sequence=1"]},
    "description": "a batch of a producer session: all or nothing, counted once, protected for ever",
}
FOLLOWED = {"name": "poll", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}}
LAST_EVENT_ID = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}}

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
CHANGE = {
    "type": "object",
    "required": ["action", "id"],
    "properties": {
        "action": {"enum": list(ACTIONS)},
        "id": {"type": "string"},
        "raft": {"type": "string", "description": "host:port of its links"},
    },
}


def document() -> dict[str, Any]:
    (vote, tallied, results, poll, state), components = msgspec.json.schema_components(
        [Vote, Tallied, Results, NewPoll, NewState], ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Quorate",
            "version": __version__,
            "description": "A fault-tolerant clustered counter: every vote is counted exactly once. Ask any node.",
        },
        "paths": {**_votes(vote, tallied, results), **_polls(poll, state), **_cluster(), **_health(), **_pages()},
        "components": {"schemas": {**components, "Problem": PROBLEM}},
    }


def _votes(vote: dict[str, Any], tallied: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    several = {"type": "array", "items": vote, "minItems": 1, "maxItems": VOTES_PER_REQUEST_MAX}
    return {
        "/votes": {
            "post": _operation(
                "Count one vote, or several",
                tallied,
                [KEY, PRODUCER],
                {"application/json": {"schema": {"oneOf": [vote, several]}}, "application/x-ndjson": {"schema": vote}},
                f"Up to {VOTES_PER_REQUEST_MAX:,} votes and {REQUEST_BYTES_MAX:,} bytes. Each vote stands alone, "
                "unless all are counted as a whole. A single vote that is rejected answers with its reason's status.",
            )
        },
        "/producers": {
            "post": _operation(
                "Open a producer session, or take it over with a new epoch",
                {"type": "object"},
                body={
                    "application/json": {"schema": {"type": "object", "properties": {"producer": {"type": "string"}}}}
                },
            )
        },
        "/polls/{id}/results": {"get": _operation("A poll's tally", results, [ID, *CONSISTENCY])},
        "/events": {
            "get": _operation(
                "Tallies as they change (server-sent events); all polls unless some are named",
                {"type": "string"},
                [
                    FOLLOWED,
                    LAST_EVENT_ID,
                ],
                media="text/event-stream",
            )
        },
    }


def _polls(poll: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    by_state = {"name": "state", "in": "query", "schema": {"enum": list(STATES)}}
    create = _operation(
        "Create a poll",
        {"type": "object"},
        body={"application/json": {"schema": poll}},
        words=f"2 to {OPTIONS_PER_POLL_MAX:,} options. The same again answers 200; another poll with that id 409.",
    )
    create["responses"]["201"] = {"description": "created", "headers": {"Location": {"schema": {"type": "string"}}}}
    return {
        "/polls": {"get": _operation("All polls", {"type": "object"}, [by_state, *CONSISTENCY]), "post": create},
        "/polls/{id}": {"get": _operation("A poll's definition", {"type": "object"}, [ID, *CONSISTENCY])},
        "/polls/{id}/state": {
            "post": _operation(
                "Move a poll along: draft, open, closed, open again …, archived",
                {"type": "object"},
                [ID],
                {"application/json": {"schema": state}},
            )
        },
    }


def _cluster() -> dict[str, Any]:
    return {
        "/leader": {"get": _operation("Who leads; 503 when nobody is known to", {"type": "object"})},
        "/leader/transfer": {"post": _operation("Hand leadership to the most caught-up node", {"type": "object"})},
        "/members": {
            "get": _operation("Who belongs to the cluster, as the log has it", {"type": "object"}),
            "post": _operation(
                "Add, remove or replace a member",
                {"type": "object"},
                body={"application/json": {"schema": CHANGE}},
                words="One change at a time. An added member is a learner until it has caught up.",
            ),
        },
        "/sink/adopt": {
            "post": _operation(
                "Take the sink over",
                {"type": "object"},
                words="Documents of other clusters become this one's, and the leader writes every poll again.",
            )
        },
        "/nodes": {"get": _operation("Every member, asked now", {"type": "object"})},
        "/status": {"get": _operation("This node, whole", {"type": "object"})},
        "/version": {"get": _operation("What runs here", {"type": "object"})},
    }


def _health() -> dict[str, Any]:
    as_json = {"name": "format", "in": "query", "schema": {"enum": ["text", "json"], "default": "text"}}
    return {
        "/livez": {"get": _operation("Alive", {"type": "string"}, media="text/plain")},
        "/readyz": {
            "get": _operation("Ready: one line a check", {"type": "string"}, [VERBOSE, SYNC], media="text/plain")
        },
        "/metrics": {"get": _operation("For Prometheus", {"type": "string"}, [as_json], media="text/plain")},
    }


def _pages() -> dict[str, Any]:
    file = {**ID, "name": "file"}
    return {
        "/": {"get": _operation("The page", {"type": "string"}, media="text/html")},
        "/static/{file}": {"get": _operation("What the page is made of", {"type": "string"}, [file], media="text/css")},
        "/openapi.json": {"get": _operation("This document", {"type": "object"})},
    }


def _operation(
    summary: str,
    schema: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    words: str = "",
    media: str = "application/json",
) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": "done", "content": {media: {"schema": schema}}},
            "default": {"description": "what went wrong", "content": problem},
        },
    }
    if words:
        operation["description"] = words
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    return operation
