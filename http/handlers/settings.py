"""The settings that concern the whole cluster: see them, with what each node says, and set those that the log holds."""

from __future__ import annotations

import msgspec

from quorate.errors import Invalid, NotReady
from quorate.http.acts import act, quoted
from quorate.http.api import Api, Settings
from quorate.http.json_body import reader
from quorate.http.operation import STRING, Operation
from quorate.http.redacted import redacted_value
from quorate.http.reply import Reply, reply
from quorate.http.request import Request


class NewValue(msgspec.Struct, forbid_unknown_fields=True):
    value: bool | int | float | str | list[str] | None  # of any setting; whether it fits this one is checked with it


_decode = reader(NewValue)

SHOW = Operation(
    "The settings that concern the whole cluster, and what each node says",
    words="`scope` is cluster (the log holds it) or alike (each node has its own, and all should have the same; then "
    "`value` is the leader's). `differ` names the nodes that say otherwise, `untold` those that said nothing, and why.",
)
SET = Operation(
    "Set a setting of the cluster, for all nodes at one version",
    parameters=[{"name": "name", "in": "path", "required": True, "schema": STRING}],
    body={"application/json": NewValue},
)


async def show(api: Api, request: Request) -> Reply:
    shown = await _settings(api).show()
    if not api.access.shows_all(request.caller):
        hidden = [
            {**each, "value": redacted_value(each["value"]), "nodes": redacted_value(each.get("nodes", {}))}
            for each in shown["settings"]
        ]
        shown = {**shown, "settings": hidden, "untold": redacted_value(shown["untold"])}
    return reply(shown, version=api.replica.state.version)


async def change(api: Api, request: Request, name: str) -> Reply:
    """PUT /settings/NAME."""
    try:
        value = _decode(request.body).value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f'{error}; send {{"value": 2000000}}') from None
    with act(api, request, f"set {quoted(name)} to {quoted(value)}"):
        changed = await _settings(api).set(name, value)
    return reply(changed, version=changed["version"])


def _settings(api: Api) -> Settings:
    if api.settings is None:
        raise NotReady("this node cannot tell its cluster's settings")
    return api.settings
