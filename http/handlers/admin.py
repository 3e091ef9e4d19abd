"""What operators do: look at the members and change them, hand leadership over, take the sink over."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
from flask import Blueprint, Response

from quorate.errors import Invalid, NotReady
from quorate.http.api import Operator
from quorate.http.flask_app import asked, on_loop, respond, this_api
from quorate.http.reply import reply
from quorate.vote import ID_BYTES_MAX, check_text
from quorate.words import Action

T = TypeVar("T")
OPERATION_S = 30.0  # a member is removed and added, each with a deadline of its own

routes = Blueprint("admin", __name__)


class NewChange(msgspec.Struct, forbid_unknown_fields=True):
    action: Action
    id: str
    raft: str | None = None


_decode = msgspec.json.Decoder(NewChange).decode


@routes.get("/members")
def members() -> Response:
    return respond(reply({"members": on_loop(_members(_operator()))}))


@routes.post("/members")
def change_members() -> Response:
    try:
        change = _decode(asked().body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{error}; give action (add, remove or replace), id, and raft, its host:port, to add") from None
    id = check_text(change.id, "id", ID_BYTES_MAX)
    return respond(reply({"members": _do(_operator().change(change.action, id, change.raft))}))


@routes.post("/leader/transfer")
def transfer() -> Response:
    return respond(reply({"leader": _do(_operator().transfer())}))


@routes.post("/sink/adopt")
def adopt_sink() -> Response:
    adopt = this_api().adopt_sink
    if adopt is None:
        raise NotReady("this node writes to no sink (flush.sink is none)")
    return respond(reply(_do(adopt())))


async def _members(operator: Operator) -> list[Any]:
    return list(operator.members())


def _operator() -> Operator:
    operator = this_api().operator
    if operator is None:
        raise NotReady("this node cannot change its cluster")
    return operator


def _do(work: Coroutine[Any, Any, T]) -> T:
    return on_loop(work, timeout_s=OPERATION_S)
