"""The roles of callers and routes. They are ordered: each role may do what the roles before it may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Role = Literal["read", "vote", "manage", "operate"]
RouteRole = Literal["public", "read", "vote", "manage", "operate"]  # "public": a caller without any role may use it

ROLES: tuple[Role, ...] = get_args(Role)
RANKS: dict[RouteRole, int] = {role: rank for rank, role in enumerate(get_args(RouteRole))}


def highest(roles: Iterable[RouteRole]) -> RouteRole:
    """The role that may do all that these may; "public" if there is none."""
    return max(roles, key=RANKS.__getitem__, default="public")
